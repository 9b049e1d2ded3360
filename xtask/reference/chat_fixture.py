"""Write what transformers renders of chats by templates in the manner of ten models.

The templates are written here; each uses what those of its model use: whitespace control,
namespaces, macros, slices, methods of strings, filters, exceptions, loop variables.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import jinja2
from transformers.utils.chat_template_utils import render_jinja_template

TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}

TEMPLATES = {
    "chatml": (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n'"
        " + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    ),
    "smollm2": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\nBe helpful.<|im_end|>\n' }}{% endif %}"
        "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "llama-2": (
        "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}"
        "{% set system = messages[0]['content'] %}{% else %}{% set rest = messages %}"
        "{% set system = false %}{% endif %}{% for message in rest %}"
        "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}"
        "{% if loop.index0 == 0 and system != false %}"
        "{% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + message['content'] %}"
        "{% else %}{% set content = message['content'] %}{% endif %}"
        "{% if message['role'] == 'user' %}"
        "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
        "{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}"
        "{% endif %}{% endfor %}"
    ),
    "llama-3": (
        "{% set loop_messages = messages %}{% for message in loop_messages %}"
        "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
        "+ message['content'] | trim + '<|eot_id|>' %}"
        "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
        "{{ content }}{% endfor %}{% if add_generation_prompt %}"
        "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
    ),
    "zephyr": (
        "{% for message in messages %}\n{% if message['role'] == 'user' %}\n"
        "{{ '<|user|>\n' + message['content'] + eos_token }}\n"
        "{% elif message['role'] == 'system' %}\n"
        "{{ '<|system|>\n' + message['content'] + eos_token }}\n"
        "{% elif message['role'] == 'assistant' %}\n"
        "{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n"
        "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n"
        "{% endfor %}"
    ),
    "gemma": (
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
        "{{ raise_exception('System role not supported') }}{% endif %}"
        "{% for message in messages %}"
        "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}"
        "{% else %}{% set role = message['role'] %}{% endif %}"
        "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
    ),
    "mistral": (
        '{%- if messages[0]["role"] == "system" %}\n'
        '    {%- set system_message = messages[0]["content"] %}\n'
        "    {%- set loop_messages = messages[1:] %}\n{%- else %}\n"
        "    {%- set loop_messages = messages %}\n{%- endif %}\n\n"
        "{%- set ns = namespace(count=0) %}\n{{- bos_token }}\n"
        "{%- for message in loop_messages %}\n    {%- set ns.count = ns.count + 1 %}\n"
        '    {%- if message["role"] == "user" %}\n'
        "        {%- if loop.last and system_message is defined %}\n"
        '            {{- "[INST] " + system_message + "\\n\\n" + message["content"] }}\n'
        '            {{- "[/INST]" }}\n'
        "        {%- else %}\n"
        '            {{- "[INST] " + message["content"] + "[/INST]" }}\n        {%- endif %}\n'
        '    {%- else %}\n        {{- " " ~ message["content"] ~ eos_token }}\n    {%- endif %}\n'
        "{%- endfor %}\n"
    ),
    "phi-3": (
        "{% for message in messages %}{% if message['role'] in ['system', 'user', 'assistant'] %}"
        "{{'<|' ~ message['role'] ~ '|>\n' ~ message['content'] ~ '<|end|>\n'}}{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}"
        "{% else %}{{ eos_token }}{% endif %}"
    ),
    "qwen": (
        "{%- macro turn(role, content) -%}\n<|im_start|>{{ role }}\n{{ content }}<|im_end|>\n"
        "{% endmacro -%}\n{%- if messages[0].role != 'system' %}\n"
        "    {{- turn('system', 'You are kind.') }}\n{%- endif %}\n"
        "{%- for message in messages %}\n    {{- turn(message.role, message.content) }}\n"
        "{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n"
        "{%- endif %}\n"
    ),
    "vicuna": (
        "{%- set ns = namespace(found=false) -%}{%- for message in messages -%}"
        "{%- if message['role'] == 'system' -%}{%- set ns.found = true -%}{%- endif -%}"
        "{%- endfor -%}{%- if not ns.found -%}{{ 'A chat.' }} {% endif %}"
        "{%- for message in messages %}{%- if message['role'] == 'user' -%}"
        "{{ 'USER: ' ~ message['content'].replace('\n', ' ').upper()[:40] ~ ' ' }}"
        "{%- elif message['role'] == 'assistant' -%}"
        "{{ 'ASSISTANT: ' ~ (message['content'].split(' ') | join('_')) ~ eos_token }}"
        "{%- else -%}{{ message | tojson }}{{ message['content'] | length }}{%- endif -%}"
        "{%- endfor -%}{%- if add_generation_prompt -%}{{ 'ASSISTANT:' }}{%- endif -%}"
    ),
}

CHATS = [
    [("user", "What is 1 + 1?")],
    [("user", "  Hi \n"), ("assistant", "Hello, you!"), ("user", 'And <b>now</b> & "so"?')],
    [("system", "Be brief."), ("user", "Why é 🙂?"), ("assistant", "Because."), ("user", "Oh.")],
    [("user", "one"), ("assistant", "two"), ("user", "three"), ("assistant", " four ")],
    [("assistant", "I begin.")],
]


def rendered(template: str, chat: list[dict[str, str]], prompted: bool) -> dict[str, Any]:
    """Return what transformers renders, or that it refuses."""
    try:
        texts, _ = render_jinja_template(
            [chat], chat_template=template, add_generation_prompt=prompted, **TOKENS
        )
    except jinja2.TemplateError as error:
        return {"refused": str(error)}
    return {"text": texts[0]}


def main() -> None:
    """Write the fixture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the fixture")
    out = parser.parse_args().out
    cases = []
    for name, template in TEMPLATES.items():
        for chat in CHATS:
            messages = [{"role": role, "content": content} for role, content in chat]
            for prompted in (False, True):
                outcome = rendered(template, messages, prompted)
                cases.append(
                    {"template": name, "messages": messages, "prompted": prompted} | outcome
                )
    fixture = {"tokens": TOKENS, "templates": TEMPLATES, "cases": cases}
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(fixture, ensure_ascii=False, indent=1) + "\n"
    (out / "chats.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
