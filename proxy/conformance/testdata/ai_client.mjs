// Streams the answer to TASK and runs the tool that is called on the way, which returns the text on standard input: BASE_URL,
// TASK, chat or responses, and the folder in which the packages are installed.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [baseURL, task, api, folder] = process.argv.slice(2);
const require = createRequire(folder + "/");
const { jsonSchema, stepCountIs, streamText, tool } = require("ai");
const settings = { name: "pith", baseURL, apiKey: "key" };
const provider =
  api === "chat" ? require("@ai-sdk/openai-compatible").createOpenAICompatible(settings) : require("@ai-sdk/openai").createOpenAI(settings);
const notes = readFileSync(0, "utf8");

const answer = streamText({
  model: provider("m"),
  prompt: task,
  tools: { search: tool({ inputSchema: jsonSchema({ type: "object" }), execute: async () => notes }) },
  stopWhen: stepCountIs(3),
  maxRetries: 0,
});
for await (const text of answer.textStream) process.stdout.write(text);
