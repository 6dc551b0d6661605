"""Asks, answers two tool calls with the text on standard input, streams the answer: BASE_URL, TASK, chat or responses."""

import sys

from openai import OpenAI

base_url, task, api = sys.argv[1:]
notes = sys.stdin.read()
client = OpenAI(base_url=base_url, api_key="key", max_retries=0)

if api == "chat":
    messages = [{"role": "user", "content": task}]
    tools = [{"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}]
    for _ in range(2):
        said = client.chat.completions.create(model="m", messages=messages, tools=tools).choices[0].message
        messages.append(said)
        messages.append({"role": "tool", "tool_call_id": said.tool_calls[0].id, "content": notes})
    for chunk in client.chat.completions.create(model="m", messages=messages, tools=tools, stream=True):
        print(chunk.choices[0].delta.content or "", end="", flush=True)
else:
    items = [{"role": "user", "content": task}]
    tools = [{"type": "function", "name": "search", "parameters": {"type": "object"}, "strict": False}]
    for _ in range(2):
        called = client.responses.create(model="m", input=items, tools=tools).output[0]
        items.append({"type": "function_call", "call_id": called.call_id, "name": called.name, "arguments": called.arguments})
        items.append({"type": "function_call_output", "call_id": called.call_id, "output": notes})
    for event in client.responses.create(model="m", input=items, tools=tools, stream=True):
        if event.type == "response.output_text.delta":
            print(event.delta, end="", flush=True)
