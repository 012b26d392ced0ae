"""What templates understand of reasoning: the decisive lines of real ones."""

from __future__ import annotations

import pytest

from hostler.models.reasoning import Thinking, nearest_level, thinking_of

QWEN3 = """{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"""
QWEN3_THINKING = (
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>\\n' }}{%- endif %}{{ '</think>' }}"
)
GPT_OSS = """{%- if reasoning_effort is not defined %}{%- set reasoning_effort = "medium" %}{%- endif %}
{{- "Reasoning: " + reasoning_effort + "\\n\\n" }}
{%- if message.thinking %}{{- "<|start|>assistant<|channel|>analysis<|message|>" + message.thinking }}{%- endif %}"""
GLM_45 = """{%- if enable_thinking is defined and not enable_thinking -%}/nothink{%- endif -%}
{{- '\\n<think></think>' if (enable_thinking is defined and not enable_thinking) else '' -}}"""
GLM_52 = """{%- set effort = reasoning_effort if reasoning_effort in ['low', 'high'] else 'max' -%}
{%- if enable_thinking %}<think>{%- else %}</think>{%- endif %}"""
DEEPSEEK_V31 = """{% if not thinking is defined %}{% set thinking = false %}{% endif %}
{%- if thinking %}{{'<think>'}}{%- else %}{{'</think>'}}{%- endif %}"""
DEEPSEEK_R1 = "{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}"
GRANITE = (
    "{%- if thinking %}{%- set system_message = system_message + ' You are a helpful AI assistant.' %}{%- endif %}"
)
NEMOTRON = """{%- if '/think' in content %}{%- set ns.enable = true %}
{%- elif '/no_think' in content %}{%- set ns.enable = false %}{%- endif %}{{ '<think></think>' }}"""
SMOLLM2 = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] }}{% endfor %}"
MAGISTRAL = "{%- set default_system_message = 'First draft your thinking process [THINK]here[/THINK]' %}"


@pytest.mark.parametrize(
    ("template", "understood"),
    [
        (QWEN3, Thinking(switch="enable_thinking", bounded=True)),
        (QWEN3_THINKING, Thinking(bounded=True)),
        (GPT_OSS, Thinking(levels=("low", "medium", "high"), bounded=True)),
        (GLM_45, Thinking(switch="enable_thinking", word="/nothink", bounded=True)),
        (GLM_52, Thinking(switch="enable_thinking", levels=("low", "high", "max"), bounded=True)),
        (DEEPSEEK_V31, Thinking(switch="thinking", bounded=True)),
        (DEEPSEEK_R1, Thinking(bounded=True)),
        (GRANITE, Thinking(switch="thinking")),
        (NEMOTRON, Thinking(word="/no_think", bounded=True)),
        (MAGISTRAL, Thinking(bounded=True)),
        (SMOLLM2, Thinking()),
        (None, Thinking()),
    ],
)
def test_what_a_template_understands(template: str | None, understood: Thinking) -> None:
    assert thinking_of(template) == understood
    assert understood.any is (template not in (SMOLLM2, None))


@pytest.mark.parametrize(
    ("effort", "levels", "level"),
    [
        ("minimal", ("low", "medium", "high"), "low"),
        ("none", ("low", "medium", "high"), "low"),
        ("medium", ("low", "medium", "high"), "medium"),
        ("max", ("low", "medium", "high"), "high"),
        ("medium", ("low", "high", "max"), "low"),
        ("xhigh", ("low", "high", "max"), "high"),
    ],
)
def test_an_effort_is_the_nearest_that_there_is(effort: str, levels: tuple[str, ...], level: str) -> None:
    assert nearest_level(effort, levels) == level
