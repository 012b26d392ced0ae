import { Ollama } from "ollama";
import { check, fails, messages, run, schema, tooLong, url } from "./features.mjs";

const client = new Ollama({ host: url });
const tools = [{ type: "function", function: { name: "weather", parameters: schema } }];
const options = { num_predict: 8 };

await run({
  async answer() {
    const answer = await client.chat({ model: "smollm2", messages, options });
    check(answer.message.content && answer.eval_count === 8, "there is text, and it is counted");
  },
  async stream() {
    let text = "";
    let last;
    for await (const part of await client.chat({ model: "smollm2", messages, options, stream: true })) {
      text += part.message.content;
      last = part;
    }
    check(text && last.done && last.eval_count === 8, "the stream has text and an end");
  },
  async "tool call"() {
    const called = (await client.chat({ model: "caller", messages, tools })).message;
    check("city" in called.tool_calls[0].function.arguments, "the arguments fit");
    const result = { role: "tool", tool_name: "weather", content: "Fine." };
    const turns = [...messages, called, result];
    const answer = await client.chat({ model: "smollm2", messages: turns, tools, options });
    check(answer.message.role === "assistant", "the result is taken");
  },
  async "structured output"() {
    const answer = await client.chat({ model: "smollm2", messages, format: schema, options: { num_predict: 200 } });
    check("city" in JSON.parse(answer.message.content), "it fits the schema");
  },
  async error() {
    await fails(client.chat({ model: "no-such", messages }), Error, "no-such");
    const long = [{ role: "user", content: tooLong }];
    await fails(client.chat({ model: "smollm2", messages: long }), Error, "context");
  },
  async cancel() {
    const stream = await client.chat({ model: "endless", messages, stream: true });
    for await (const _ of stream) break;
    stream.abort();
  },
});
