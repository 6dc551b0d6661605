"""Asks, answers two tool calls with the text on standard input, streams the answer: BASE_URL, TASK."""

import sys

from anthropic import Anthropic

base_url, task = sys.argv[1:]
notes = sys.stdin.read()
client = Anthropic(base_url=base_url, api_key="key", max_retries=0)
messages = [{"role": "user", "content": task}]
tools = [{"name": "search", "input_schema": {"type": "object"}}]
for _ in range(2):
    said = client.messages.create(model="m", max_tokens=100, messages=messages, tools=tools)
    messages.append({"role": "assistant", "content": said.content})
    messages.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": said.content[0].id, "content": notes}]})
with client.messages.stream(model="m", max_tokens=100, messages=messages, tools=tools) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
