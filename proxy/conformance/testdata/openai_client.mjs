// Asks, answers two tool calls with the text on standard input, streams the answer: BASE_URL, TASK, chat or responses, and the
// folder in which the package is installed.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [base, task, api, folder] = process.argv.slice(2);
const { default: OpenAI } = createRequire(folder + "/")("openai");
const notes = readFileSync(0, "utf8");
const client = new OpenAI({ baseURL: base, apiKey: "key", maxRetries: 0 });
const show = (text) => process.stdout.write(text ?? "");

if (api === "chat") {
  const messages = [{ role: "user", content: task }];
  const tools = [{ type: "function", function: { name: "search", parameters: { type: "object" } } }];
  for (let turn = 0; turn < 2; turn++) {
    const said = (await client.chat.completions.create({ model: "m", messages, tools })).choices[0].message;
    messages.push(said, { role: "tool", tool_call_id: said.tool_calls[0].id, content: notes });
  }
  for await (const chunk of await client.chat.completions.create({ model: "m", messages, tools, stream: true })) {
    show(chunk.choices[0].delta.content);
  }
} else {
  const input = [{ role: "user", content: task }];
  const tools = [{ type: "function", name: "search", parameters: { type: "object" }, strict: false }];
  for (let turn = 0; turn < 2; turn++) {
    const called = (await client.responses.create({ model: "m", input, tools })).output[0];
    input.push(
      { type: "function_call", call_id: called.call_id, name: called.name, arguments: called.arguments },
      { type: "function_call_output", call_id: called.call_id, output: notes },
    );
  }
  for await (const event of await client.responses.create({ model: "m", input, tools, stream: true })) {
    if (event.type === "response.output_text.delta") show(event.delta);
  }
}
