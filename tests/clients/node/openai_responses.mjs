import OpenAI from "openai";
import { check, fails, messages, run, schema, tooLong, url } from "./features.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const responses = client.responses;
const tools = [{ type: "function", name: "weather", parameters: schema, strict: true }];
const input = messages;

await run({
  async answer() {
    const answer = await responses.create({ model: "smollm2", input, max_output_tokens: 8 });
    check(answer.output_text, "there is text");
    check(answer.usage.output_tokens > 0, "tokens are counted");
  },
  async stream() {
    const stream = responses.stream({ model: "smollm2", input, max_output_tokens: 8 });
    const kinds = [];
    for await (const event of stream) kinds.push(event.type);
    check(kinds[0] === "response.created", "it begins as it should");
    check(kinds.includes("response.output_text.delta"), "there is text");
    check((await stream.finalResponse()).output_text, "the whole has text");
  },
  async "tool call"() {
    const called = await responses.stream({ model: "caller", input, tools }).finalResponse();
    const call = called.output.find((item) => item.type === "function_call");
    check("city" in JSON.parse(call.arguments), "the arguments fit");
    const { parsed_arguments: _, ...said } = call;
    const result = { type: "function_call_output", call_id: call.call_id, output: "Fine." };
    const turns = [...input, said, result];
    const answer = await responses.create({ model: "smollm2", input: turns, tools, max_output_tokens: 8 });
    check(answer.status, "the result is taken");
  },
  async "structured output"() {
    const text = { format: { type: "json_schema", name: "city", schema, strict: true } };
    const answer = await responses.create({ model: "smollm2", input, text, max_output_tokens: 200 });
    check("city" in JSON.parse(answer.output_text), "it fits the schema");
  },
  async error() {
    await fails(responses.create({ model: "no-such", input }), OpenAI.NotFoundError, "no-such");
    await fails(responses.create({ model: "smollm2", input: tooLong }), OpenAI.BadRequestError, "context");
  },
  async cancel() {
    const wish = { model: "smollm2", input, max_output_tokens: 3000, stream: true, ignore_eos: true };
    const stream = await responses.create(wish);
    for await (const _ of stream) break;
    stream.controller.abort();
  },
});
