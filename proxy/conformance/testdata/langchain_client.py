"""Asks, answers two tool calls with the text on standard input, streams the answer: BASE_URL, TASK, chat or responses."""

import sys

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI

base_url, task, api = sys.argv[1:]
notes = sys.stdin.read()
model = ChatOpenAI(model="m", base_url=base_url, api_key="key", max_retries=0, use_responses_api=api == "responses")
model = model.bind_tools([{"type": "function", "function": {"name": "search", "parameters": {"type": "object", "properties": {}}}}])
messages = [HumanMessage(task)]
for _ in range(2):
    said = model.invoke(messages)
    messages += [said, ToolMessage(notes, tool_call_id=said.tool_calls[0]["id"])]
for chunk in model.stream(messages):
    print(chunk.text, end="", flush=True)
