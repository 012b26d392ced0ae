import Anthropic from "@anthropic-ai/sdk";
import { check, fails, messages, run, schema, tooLong, url } from "./features.mjs";

const client = new Anthropic({ baseURL: url, apiKey: "none", maxRetries: 0 });
const tools = [{ name: "weather", input_schema: schema }];

await run({
  async answer() {
    const answer = await client.messages.create({ model: "smollm2", messages, max_tokens: 8 });
    check(answer.content[0].text, "there is text");
    check(answer.usage.output_tokens > 0, "tokens are counted");
    const counted = await client.messages.countTokens({ model: "smollm2", messages });
    check(counted.input_tokens > 0, "the prompt is counted");
  },
  async stream() {
    const stream = client.messages.stream({ model: "smollm2", messages, max_tokens: 8 });
    const kinds = [];
    for await (const event of stream) kinds.push(event.type);
    check(kinds[0] === "message_start" && kinds.at(-1) === "message_stop", "it begins and ends as it should");
    check(await stream.finalText(), "there is text");
  },
  async "tool call"() {
    const called = await client.messages.stream({ model: "caller", messages, max_tokens: 64, tools }).finalMessage();
    const call = called.content.find((block) => block.type === "tool_use");
    check("city" in call.input, "the arguments fit");
    const result = [{ type: "tool_result", tool_use_id: call.id, content: "Fine." }];
    const said = { role: "assistant", content: called.content };
    const turns = [...messages, said, { role: "user", content: result }];
    const answer = await client.messages.create({ model: "smollm2", messages: turns, max_tokens: 8, tools });
    check(answer.role === "assistant", "the result is taken");
  },
  async "structured output"() {
    const format = { type: "json_schema", schema };
    const wish = { model: "smollm2", messages, max_tokens: 200, output_config: { format } };
    const answer = await client.messages.create(wish);
    check("city" in JSON.parse(answer.content[0].text), "it fits the schema");
  },
  async error() {
    const ask = (model, content) =>
      client.messages.create({ model, messages: [{ role: "user", content }], max_tokens: 8 });
    await fails(ask("no-such", "Hello"), Anthropic.NotFoundError, "no-such");
    await fails(ask("smollm2", tooLong), Anthropic.BadRequestError, "context");
  },
  async cancel() {
    const stream = client.messages.stream({ model: "smollm2", messages, max_tokens: 3000 });
    for await (const event of stream) if (event.type === "content_block_delta") break;
    stream.abort();
  },
});
