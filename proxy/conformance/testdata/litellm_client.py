"""Asks, answers two tool calls with the text on standard input, streams the answer: BASE_URL, TASK."""

import sys

from litellm import completion

base_url, task = sys.argv[1:]
notes = sys.stdin.read()
messages = [{"role": "user", "content": task}]
tools = [{"type": "function", "function": {"name": "search", "parameters": {"type": "object", "properties": {}}}}]
request = {"model": "openai/m", "api_base": base_url, "api_key": "key", "max_retries": 0, "messages": messages, "tools": tools}
for _ in range(2):
    said = completion(**request).choices[0].message
    messages += [said, {"role": "tool", "tool_call_id": said.tool_calls[0].id, "content": notes}]
for chunk in completion(**request, stream=True):
    print(chunk.choices[0].delta.content or "", end="", flush=True)
