#!/usr/bin/env python3
"""Conversations as transformers' apply_chat_template writes them, and next-token probabilities of its samplers.

Writes tests/golden/chat/: formats.json (per template: the template, BOS and EOS, and the text of every conversation, or
null where the template refuses it; for the demo model's also the ids), sampling.json. The template of the demo model is
read from its file; the others are written here, after the documented token formats of their families. Run it again only
to add a case:
  python tests/oracle/make_chat_goldens.py SmolLM2-135M-Instruct.Q4_1.gguf     (scripts/fetch-demo-model)
Needs transformers, jinja2, torch, gguf. Made with transformers 5.24, jinja2 3.1.
"""

import json
import pathlib
import sys

import gguf
import jinja2
import torch
import transformers
from make_tokenizer_goldens import demo
from tokenizers import Tokenizer, models

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden" / "chat"

QWEN15 = """{% for message in messages %}
{%- if loop.first and message['role'] != 'system' %}{{ '<|im_start|>system\n A default\n<|im_end|>\n' }}{% endif %}
{{- '<|im_start|>' + message['role'] + '\n' + message['content'] }}
{%- if (loop.last and add_generation_prompt) or not loop.last %}{{ '<|im_end|>' + '\n' }}{% endif %}
{%- endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""

QWEN25 = """{%- if messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nIt\\'s a "default", isn\\'t it?<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == "user" or message.role == "assistant" %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

QWEN3 = """{%- for message in messages %}
    {%- set content = message.content %}
    {%- if message.role == "assistant" and '</think>' in content %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""

# The markers stand in the text of the template itself.
CHATML_TEXT = """{{ bos_token }}{% for message in messages %}<|im_start|>{{ message['role'] }}
{{ message["content"] }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

LLAMA3 = """{% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}
{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"""

LLAMA31 = """{{- bos_token }}
{%- set date_string = "26 Jul 2024" %}
{%- set system = "" %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}"""

LLAMA2 = """{% set loop_messages = messages %}{% set system_message = false %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] %}{% set loop_messages = messages[1:] %}
{%- endif %}
{%- for message in loop_messages %}
    {%- set content = message['content'] %}
    {%- if loop.first and system_message is not false %}
        {%- set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}
    {%- endif %}
    {%- if message['role'] == 'user' %}
        {{- bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
    {%- else %}
        {{- ' ' + content.strip() + ' ' + eos_token }}
    {%- endif %}
{%- endfor %}"""

MISTRAL1 = """{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}
{{- '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}
{{- message['content'] + eos_token + ' ' }}{% else %}{{ raise_exception('no system messages') }}{% endif %}{% endfor %}"""


def mistral(before, behind, place, reply):
    """Later versions: spaces, the place of the system message, and the reply differ."""
    return f"""{{%- set loop_messages = messages %}}
{{%- if messages[0]["role"] == "system" %}}
    {{%- set system_message = messages[0]["content"] %}}{{%- set loop_messages = messages[1:] %}}
{{%- endif %}}
{{{{- bos_token }}}}
{{%- for message in loop_messages %}}
    {{%- if message["role"] == "user" %}}
        {{%- if loop.{place} and system_message is defined %}}
            {{{{- "{before}" + system_message + "\\n\\n" + message["content"] + "{behind}" }}}}
        {{%- else %}}
            {{{{- "{before}" + message["content"] + "{behind}" }}}}
        {{%- endif %}}
    {{%- else %}}
        {{{{- {reply} + eos_token }}}}
    {{%- endif %}}
{{%- endfor %}}"""


TEMPLATES = {
    "qwen1.5": (QWEN15, "", "<|im_end|>"),
    "qwen2.5": (QWEN25, "", "<|im_end|>"),
    "qwen3": (QWEN3, "", "<|im_end|>"),
    "chatml-text": (CHATML_TEXT, "<s>", "</s>"),
    "llama3": (LLAMA3, "<|begin_of_text|>", "<|eot_id|>"),
    "llama3.1": (LLAMA31, "<|begin_of_text|>", "<|eot_id|>"),
    "llama2": (LLAMA2, "<s>", "</s>"),
    "mistral-v1": (MISTRAL1, "<s>", "</s>"),
    "mistral-v1-system": (mistral(" [INST] ", " [/INST]", "first", '" " + message["content"]'), "<s>", "</s>"),
    "mistral-v3": (mistral("[INST] ", "[/INST]", "last", '" " + message["content"]|trim'), "<s>", "</s>"),
    "mistral-v3-tekken": (mistral("[INST]", "[/INST]", "last", 'message["content"]'), "<s>", "</s>"),
}


def turns(*texts, system=None):
    said = [{"role": "assistant" if i % 2 else "user", "content": text} for i, text in enumerate(texts)]
    return ([{"role": "system", "content": system}] if system is not None else []) + said


CONVERSATIONS = [
    turns("Hello"),
    turns("Hello", system="You are terse."),
    turns(" \n\u3000 white\u00a0space \x1f\n\n", system="  around \n"),
    turns("Why?", "Because.", "Why \U0001f914?", " It \n is so. ", "I see"),
    turns("2 + 2", "<think>\nmaybe 3\n</think>\n\n4", "sure?", "yes </think> no", "ok", system="Think."),
    turns("def f():\n    return '{{ x }}' # \"{% y %}\"", "ok", "\ttabs\t"),
]


def render(template, bos, eos, tokenizer=None):
    tokenizer = tokenizer or Tokenizer(models.BPE(vocab={"a": 0}, merges=[]))
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=eos)
    out = []
    for messages in CONVERSATIONS:
        apply = lambda **options: fast.apply_chat_template(
            messages, chat_template=template, add_generation_prompt=True, **options)  # fmt: skip
        try:
            out.append({"messages": messages, "text": apply(tokenize=False)})
            if tokenizer.get_vocab_size() > 100:
                out[-1]["ids"] = apply(tokenize=True, return_dict=False)
        except jinja2.TemplateError:
            out.append({"messages": messages, "text": None})
    return {"template": template, "bos": bos, "eos": eos, "conversations": out}


def sampling():
    torch.manual_seed(6)
    logits = (3 * torch.randn(1, 40)).round(decimals=3)
    seen = [3, 7, 7, 21, 39]
    cases = []
    for temperature, top_k, top_p, min_p, penalty in [
        (1, 0, 1, 0, 1), (0.7, 0, 1, 0, 1), (1, 5, 1, 0, 1), (1, 0, 0.8, 0, 1), (1.5, 0, 1, 0.1, 1), (1, 0, 1, 0, 1.3),
        (0.8, 12, 0.9, 0.05, 1.1), (2, 30, 0.95, 0.02, 0.8),
    ]:  # fmt: skip
        processors = [transformers.RepetitionPenaltyLogitsProcessor(float(penalty))]
        processors.append(transformers.TemperatureLogitsWarper(float(temperature)))
        if top_k:
            processors.append(transformers.TopKLogitsWarper(top_k))
        if top_p < 1:
            processors.append(transformers.TopPLogitsWarper(float(top_p)))
        if min_p:
            processors.append(transformers.MinPLogitsWarper(float(min_p)))
        scores = logits.clone()
        for processor in processors:
            scores = processor(torch.tensor([seen]), scores)
        probabilities = [float(f"{p:.7g}") for p in scores.double().softmax(-1)[0].tolist()]
        cases.append({"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p,
                      "repetition_penalty": penalty, "probabilities": probabilities})  # fmt: skip
    return {"logits": [round(x, 3) for x in logits[0].tolist()], "seen": seen, "cases": cases}


def main():
    GOLDEN.mkdir(exist_ok=True)
    metadata = gguf.GGUFReader(sys.argv[1])
    template = metadata.get_field("tokenizer.chat_template").contents()
    formats = {"smollm2": render(template, "<|im_start|>", "<|im_end|>", demo(sys.argv[1]))}
    formats |= {name: render(*parts) for name, parts in TEMPLATES.items()}
    (GOLDEN / "formats.json").write_text(json.dumps(formats, indent=1) + "\n")
    (GOLDEN / "sampling.json").write_text(json.dumps(sampling()) + "\n")


if __name__ == "__main__":
    main()
