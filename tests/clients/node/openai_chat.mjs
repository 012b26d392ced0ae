import OpenAI from "openai";
import { check, fails, messages, run, schema, tooLong, url } from "./features.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const chat = client.chat.completions;
const tools = [{ type: "function", function: { name: "weather", parameters: schema } }];

await run({
  async answer() {
    const answer = await chat.create({ model: "smollm2", messages, max_tokens: 8 });
    check(answer.choices[0].message.content, "there is text");
    check(answer.usage.completion_tokens > 0, "tokens are counted");
  },
  async stream() {
    const stream = chat.stream({ model: "smollm2", messages, max_tokens: 8, stream_options: { include_usage: true } });
    let text = "";
    for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";
    const whole = await stream.finalChatCompletion();
    check(text && whole.choices[0].message.content === text, "the pieces are the whole");
    check(whole.usage.completion_tokens > 0, "tokens are counted");
  },
  async "tool call"() {
    const called = await chat.stream({ model: "caller", messages, tools }).finalMessage();
    check("city" in JSON.parse(called.tool_calls[0].function.arguments), "the arguments fit");
    const result = { role: "tool", tool_call_id: called.tool_calls[0].id, content: "Fine." };
    const answer = await chat.create({ model: "smollm2", messages: [...messages, called, result], tools, max_tokens: 8 });
    check(answer.choices[0].message.role === "assistant", "the result is taken");
  },
  async "structured output"() {
    const format = { type: "json_schema", json_schema: { name: "city", schema, strict: true } };
    const answer = await chat.create({ model: "smollm2", messages, response_format: format, max_tokens: 200 });
    check("city" in JSON.parse(answer.choices[0].message.content), "it fits the schema");
  },
  async error() {
    await fails(chat.create({ model: "no-such", messages }), OpenAI.NotFoundError, "no-such");
    const long = [{ role: "user", content: tooLong }];
    await fails(chat.create({ model: "smollm2", messages: long }), OpenAI.BadRequestError, "context");
  },
  async cancel() {
    const stream = await chat.create({ model: "smollm2", messages, max_tokens: 3000, stream: true, ignore_eos: true });
    for await (const _ of stream) break;
    stream.controller.abort();
  },
});
