// Asks, answers two tool calls with the text on standard input, streams the answer: BASE_URL, TASK, and the folder in which the
// package is installed.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [base, task, folder] = process.argv.slice(2);
const { default: Anthropic } = createRequire(folder + "/")("@anthropic-ai/sdk");
const notes = readFileSync(0, "utf8");
const client = new Anthropic({ baseURL: base, apiKey: "key", maxRetries: 0 });

const messages = [{ role: "user", content: task }];
const request = { model: "m", max_tokens: 100, messages, tools: [{ name: "search", input_schema: { type: "object" } }] };
for (let turn = 0; turn < 2; turn++) {
  const { content } = await client.messages.create(request);
  messages.push(
    { role: "assistant", content },
    { role: "user", content: [{ type: "tool_result", tool_use_id: content[0].id, content: notes }] },
  );
}
for await (const event of client.messages.stream(request)) {
  if (event.type === "content_block_delta") process.stdout.write(event.delta.text);
}
