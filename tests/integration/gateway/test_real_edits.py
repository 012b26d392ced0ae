"""What edits put into requests is what the embedded llama.cpp reads: its templates, its budgets, its sampling."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from hostler.config.sampling import Effort, SamplingSettings
from hostler.fleet.protocol import Served
from hostler.gateway.asking.prepared import Asking, Preparing
from hostler.gateway.routes import INFERENCE
from hostler.models.reasoning import Thinking, thinking_of
from hostler.testing import http
from hostler.testing.launch import Running

pytestmark = pytest.mark.anyio

LEVELS = """{%- for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{%- endfor %}
{%- if reasoning_effort is defined %}{{ 'Reasoning: ' + reasoning_effort + '\\n' }}{%- endif %}{{ 'assistant: ' }}"""
ALWAYS = """{%- for m in messages %}{%- if m.role == 'assistant' %}{%- set thought = m.reasoning_content or '' %}
{{- '<|im_start|>assistant\\n<think>\\n' + thought + '\\n</think>\\n\\n' + m.content + '<|im_end|>\\n' }}
{%- else %}{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endif %}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>\\n' }}{%- endif %}"""
TALK: dict[str, object] = {"messages": [{"role": "user", "content": "Tell me of the sea."}]}
Engine = Callable[..., Awaitable[Running]]


class Asked:
    """An engine, asked as the gateway asks it for one profile."""

    def __init__(self, engine: Running, thinking: Thinking) -> None:
        self._engine = engine
        self._served = Served(
            name="p", task="chat", embeddings=False, sampling=SamplingSettings(), context=2048, thinking=thinking
        )

    def with_(self, sampling: SamplingSettings | None = None, reasoning: Effort | None = None) -> None:
        self._served = msgspec.structs.replace(
            self._served, sampling=sampling or SamplingSettings(), reasoning=reasoning
        )

    async def ask(self, path: str, body: dict[str, object]) -> dict[str, object]:
        route, raw = INFERENCE[path.encode()], json.dumps(body).encode()
        asking = Asking(route=route, headers={}, body=raw, peek=route.peek(raw, {}))
        prepared = Preparing().prepared(asking, self._served)
        target = route.target.decode()
        answer = await http.request(
            self._engine.address, "POST", target, json.loads(prepared.body), http.bearer(self._engine.key)
        )
        assert answer.status == 200, answer.body
        told: dict[str, object] = json.loads(answer.body)
        return told

    async def sampled(self) -> dict[str, float]:
        """What the slot's last request was sampled with."""
        answer = await http.request(self._engine.address, "GET", "/slots", None, http.bearer(self._engine.key))
        told: dict[str, float] = json.loads(answer.body)[0]["params"]
        return told


async def asked(real_engine: Engine, smollm2: Path, template: str) -> Asked:
    flags = ("--ctx-size", "2048", "--parallel", "1", "--threads", "2", "--slots", "--cache-ram", "0", "--jinja")
    engine = await real_engine("--model", str(smollm2), "--chat-template", template, *flags)
    return Asked(engine, thinking_of(template))


async def test_levels_and_sampling_arrive(real_engine: Engine, smollm2: Path) -> None:
    engine = await asked(real_engine, smollm2, LEVELS)
    rendered = await engine.ask("/apply-template", {**TALK, "reasoning_effort": "minimal"})
    assert "Reasoning: low\n" in str(rendered["prompt"])
    plain = await engine.ask("/v1/messages/count_tokens", TALK)
    engine.with_(SamplingSettings(temperature=0.25, top_k=3, min_p=0.5, repeat_penalty=1.5, seed=7), "high")
    assert "Reasoning: high\n" in str((await engine.ask("/apply-template", TALK))["prompt"])
    more = await engine.ask("/v1/messages/count_tokens", TALK)
    assert int(str(more["input_tokens"])) > int(str(plain["input_tokens"]))

    every = {"temperature": 0.25, "top_k": 3, "min_p": 0.5, "repeat_penalty": 1.5, "seed": 7}
    for path, body, arrives in (
        ("/v1/chat/completions", {**TALK, "max_tokens": 1}, every),
        ("/v1/completions", {"prompt": "The sea", "max_tokens": 1}, every),
        ("/v1/responses", {"input": "The sea?", "max_output_tokens": 1}, every),
        ("/v1/messages", {**TALK, "max_tokens": 1}, {"temperature": 0.25, "top_k": 3}),
    ):
        await engine.ask(path, body)
        sampled = await engine.sampled()
        assert {name: round(sampled[name], 3) for name in arrives} == arrives, path


async def test_thoughts_end_where_they_are_bounded(real_engine: Engine, smollm2: Path) -> None:
    """A budget of nothing lost the first token of the mark, and the thoughts never ended."""
    engine = await asked(real_engine, smollm2, ALWAYS)
    engine.with_(SamplingSettings(temperature=0))
    for path, body, off in (
        ("/v1/chat/completions", {**TALK, "max_tokens": 16}, {"reasoning_effort": "none"}),
        ("/v1/messages", {**TALK, "max_tokens": 16}, {"thinking": {"type": "disabled"}}),
        ("/v1/responses", {"input": "The sea?", "max_output_tokens": 16}, {"reasoning": {"effort": "none"}}),
    ):
        assert kinds(await engine.ask(path, body)) == ["thought"], path
        assert kinds(await engine.ask(path, {**body, **off})) == ["text"], path
    bounded = {"thinking": {"type": "enabled", "budget_tokens": 6}}
    assert kinds(await engine.ask("/v1/messages", {**TALK, "max_tokens": 24, **bounded})) == ["thought", "text"]


def kinds(answer: dict[str, object]) -> list[str]:
    """Whether an answer of any API has thoughts and text, in their order."""
    told = msgspec.convert(answer, _Answer)
    if told.choices:
        said = told.choices[0].message
        return ["thought"] * bool(said.reasoning_content) + ["text"] * bool(said.content)
    return ["text" if part.type in ("text", "message") else "thought" for part in told.content or told.output]


class _Message(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Part(msgspec.Struct):
    type: str


class _Answer(msgspec.Struct):
    choices: list[_Choice] = []
    content: list[_Part] = []
    output: list[_Part] = []
