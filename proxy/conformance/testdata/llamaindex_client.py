"""Asks, answers two tool calls with the text on standard input, streams the answer: BASE_URL, TASK."""

import sys

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

base_url, task = sys.argv[1:]
notes = sys.stdin.read()
model = OpenAILike(model="m", api_base=base_url, api_key="key", is_chat_model=True, is_function_calling_model=True, max_retries=0)
tools = [FunctionTool.from_defaults(lambda q: notes, name="search", description="Searches.")]
messages = [ChatMessage(role="user", content=task)]
for _ in range(2):
    said = model.chat_with_tools(tools, chat_history=messages)
    (call,) = model.get_tool_calls_from_response(said)
    messages += [said.message, ChatMessage(role="tool", content=notes, additional_kwargs={"tool_call_id": call.tool_id})]
for chunk in model.stream_chat_with_tools(tools, chat_history=messages):
    print(chunk.delta or "", end="", flush=True)
