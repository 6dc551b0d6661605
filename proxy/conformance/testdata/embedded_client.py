"""Asks the embedded upstream in every way that the vendors' libraries know: BASE_URL, the text that the model repeats."""

import sys

from anthropic import Anthropic
from openai import OpenAI

base_url, text = sys.argv[1:]
openai = OpenAI(base_url=base_url + "/v1", api_key="key", max_retries=0)
anthropic = Anthropic(base_url=base_url, api_key="key", max_retries=0)
asked = [{"role": "user", "content": text}]


def check(name, got, want=text):
    if got != want:
        sys.exit(f"{name}: {got!r}, want {want!r}")


(model,) = openai.models.list().data
check("models", openai.models.retrieve(model.id).id, model.id)
(listed,) = anthropic.models.list().data
check("Anthropic's models", (listed.id, listed.type), (model.id, "model"))

whole = openai.chat.completions.create(model="m", messages=asked)
check("chat", whole.choices[0].message.content)
check("chat's usage", whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens)
chunks = list(openai.chat.completions.create(model="m", messages=asked, stream=True, stream_options={"include_usage": True}))
check("chat, streamed", "".join(c.choices[0].delta.content or "" for c in chunks if c.choices))
check("chat's usage, streamed", chunks[-1].usage, whole.usage)

whole = openai.completions.create(model="m", prompt=text, max_tokens=100)
check("completion", whole.choices[0].text)
check("completion, streamed", "".join(c.choices[0].text for c in openai.completions.create(model="m", prompt=text, max_tokens=100, stream=True)))

whole = openai.responses.create(model="m", input=asked, instructions="Repeat.")
check("response", whole.output_text)
with openai.responses.stream(model="m", input=text, instructions="Repeat.") as stream:
    for _ in stream:
        pass
    streamed = stream.get_final_response()
check("response, streamed", streamed.output_text)
check("response's usage, streamed", streamed.usage, whole.usage)
check("response's status", streamed.status, "completed")

whole = anthropic.messages.create(model="m", max_tokens=100, messages=asked, system="Repeat.")
check("message", whole.content[0].text)
with anthropic.messages.stream(model="m", max_tokens=100, messages=asked, system="Repeat.") as stream:
    streamed = stream.get_final_message()
check("message, streamed", streamed.content[0].text)
check("message's end", (streamed.stop_reason, streamed.usage.output_tokens), (whole.stop_reason, whole.usage.output_tokens))
counted = anthropic.messages.count_tokens(model="m", messages=asked, system="Repeat.").input_tokens
check("count", counted, whole.usage.input_tokens)
check("response's count", openai.responses.input_tokens.count(model="m", input=asked, instructions="Repeat.").input_tokens, counted)
print(text)
