"""Runs in the environment of langchain-openai: prints, as JSON, what each feature came to; "" when it works."""

import json
import os
import traceback
from collections.abc import Callable

import openai
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI

URL = os.environ["GATEWAY"]
ASK = "Write one sentence about the sea."
SCHEMA = {
    "title": "City",
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}},
    "required": ["city"],
    "additionalProperties": False,
}


def model(name: str = "smollm2", tokens: int = 8) -> ChatOpenAI:
    return ChatOpenAI(
        model=name, base_url=f"{URL}/v1", api_key="none", max_retries=0, max_tokens=tokens, stream_usage=True
    )


def weather(city: str) -> str:
    """The weather in a city."""
    return f"Fine in {city}."


def answer() -> None:
    said = model().invoke(ASK)
    assert said.content
    assert said.usage_metadata["output_tokens"] > 0


def stream() -> None:
    pieces = list(model().stream(ASK))
    assert "".join(piece.content for piece in pieces)
    assert any(piece.usage_metadata for piece in pieces)


def tool_call() -> None:
    able = model("caller", 64).bind_tools([weather])
    called = able.invoke(ASK)
    (call,) = called.tool_calls
    assert set(call["args"]) == {"city"}
    result = ToolMessage(weather(**call["args"]), tool_call_id=call["id"])
    said = model("caller", 64).bind_tools([weather]).invoke([HumanMessage(ASK), called, result])
    assert said.content


def structured_output() -> None:
    said = model(tokens=200).with_structured_output(SCHEMA, method="json_schema", strict=True).invoke(ASK)
    assert set(said) == {"city"}


def refused(name: str, kind: type[openai.APIError]) -> str:
    try:
        model(name).invoke("sea " * 8000)
    except kind as problem:
        return str(problem)
    raise AssertionError(f"{name} answered")


def error() -> None:
    assert "no-such" in refused("no-such", openai.NotFoundError)
    assert "context" in refused("smollm2", openai.BadRequestError)


def cancel() -> None:
    for _ in model("endless", 20_000).stream(ASK):
        break


def run(feature: Callable[[], None]) -> str:
    try:
        feature()
    except Exception:  # noqa: BLE001  told to the test
        return traceback.format_exc()
    return ""


FEATURES = {
    "answer": answer,
    "stream": stream,
    "tool call": tool_call,
    "structured output": structured_output,
    "error": error,
    "cancel": cancel,
}
print(json.dumps({name: run(feature) for name, feature in FEATURES.items()}))
