"""Checks that any server with the OpenAI API should pass."""

from __future__ import annotations

import msgspec

from hostler.conformance.asks import Ask
from hostler.conformance.checks.check import Check, Failed, NotHere, Tried, expect, refused
from hostler.conformance.fates import Answered, Broken, Fate, judged

TOKENS = 8


class _Model(msgspec.Struct):
    id: str
    object: str = ""


class _Models(msgspec.Struct):
    object: str
    data: list[_Model]


async def models(tried: Tried) -> str:
    answer = await tried.server.request("GET", "/v1/models")
    expect(answer.status == 200, f"answered with {answer.status}")
    listed = msgspec.json.decode(answer.body, type=_Models)
    expect(listed.object == "list", f"its object is {listed.object!r}")
    names = [each.id for each in listed.data]
    expect(len(names) == len(set(names)), "a model is listed twice")
    return f"{len(names)} models"


def _asked(tried: Tried, *, stream: bool) -> Ask:
    return Ask(number=0, id="check", subject=tried.subject, stream=stream, tokens=TOKENS, words=1)


def _tokens(fate: Fate) -> str:
    match fate:
        case Answered(tokens):
            return "whole" if tokens is None else f"{tokens} tokens"
        case Broken(reason):
            raise Failed(reason)
        case other:
            raise Failed(str(other))


async def whole(tried: Tried) -> str:
    answer = await tried.ask(tried.body(max_tokens=TOKENS))
    return _tokens(judged(_asked(tried, stream=False), answer, exact=False))


async def stream(tried: Tried) -> str:
    answer = await tried.ask(tried.body(max_tokens=TOKENS, stream=True))
    return _tokens(judged(_asked(tried, stream=True), answer, exact=False))


async def stream_usage(tried: Tried) -> str:
    answer = await tried.ask(tried.body(max_tokens=TOKENS, stream=True, stream_options={"include_usage": True}))
    fate = judged(_asked(tried, stream=True), answer, exact=False)
    told = _tokens(fate)
    expect(isinstance(fate, Answered) and fate.tokens is not None, "no chunk counts the tokens")
    return told


async def unknown_model(tried: Tried) -> str:
    answer = await tried.ask(tried.body(model="no-such-model-here", max_tokens=1))
    return refused(answer, 404).code


async def bad_json(tried: Tried) -> str:
    answer = await tried.ask(b'{"model": "' + tried.subject.name.encode() + b'", "max_tokens": ')
    return refused(answer, 400).code


async def no_question(tried: Tried) -> str:
    answer = await tried.ask({"model": tried.subject.name, "max_tokens": 1})
    return refused(answer, 400, 422).message[:80]


async def unknown_path(tried: Tried) -> str:
    answer = await tried.server.request("POST", "/v1/no/such/path", {})
    return refused(answer, 404, 405).code


async def hang_up(tried: Tried) -> str:
    """A client leaves in the middle of a long answer; the next one is served."""
    body = tried.body(max_tokens=2000, stream=True)
    async with tried.server.stream("POST", tried.path, body) as exchange:
        expect(exchange.status == 200, f"answered with {exchange.status}")
        async for event in exchange.events():
            if event.data:
                break
        exchange.hang_up()
    answer = await tried.ask(tried.body(max_tokens=1))
    expect(answer.status == 200, f"the next request was answered with {answer.status}")
    return "the next request was answered"


async def half_a_request(tried: Tried) -> str:
    """A client leaves with half its request sent; the next one is served."""
    raw = tried.server.request_bytes("POST", tried.path, tried.body(max_tokens=1), None)
    async with tried.server.connected() as exchange:
        exchange.writer.write(raw[:-5])
        await exchange.writer.drain()
        exchange.hang_up()
    answer = await tried.ask(tried.body(max_tokens=1))
    expect(answer.status == 200, f"the next request was answered with {answer.status}")
    return "the next request was answered"


async def pieces(tried: Tried) -> str:
    """A request that arrives byte by byte is a request all the same."""
    raw = tried.server.request_bytes("POST", tried.path, tried.body(max_tokens=1), None)
    async with tried.server.connected() as exchange:
        for start in range(0, len(raw), 7):
            exchange.writer.write(raw[start : start + 7])
            await exchange.writer.drain()
        await exchange.read_head()
        answer = await exchange.read()
    expect(answer.status == 200, f"answered with {answer.status}")
    return f"{(len(raw) + 6) // 7} pieces"


async def wrong_key(tried: Tried) -> str:
    if not tried.server.key:
        raise NotHere("no key is in use here")
    answer = await msgspec.structs.replace(tried.server, key="wrong").request(
        "POST", tried.path, tried.body(max_tokens=1)
    )
    return refused(answer, 401, 403).code


OPENAI = (
    Check("models", "what can be asked is listed", models),
    Check("answer", "an answer is whole, and counts its tokens rightly", whole),
    Check("stream", "a stream is well-formed events, one finish reason, one end", stream),
    Check("stream-usage", "a stream counts its tokens when asked to", stream_usage),
    Check("unknown-model", "a model that does not exist is 404, with an error object", unknown_model),
    Check("bad-json", "a body that is no JSON is 400, with an error object", bad_json),
    Check("no-question", "a body without a question is the client's mistake, not the server's", no_question),
    Check("unknown-path", "a path that does not exist has an error object", unknown_path),
    Check("hang-up", "a client that leaves in mid-answer is not in the way of the next", hang_up),
    Check("half-request", "nor is one that leaves in mid-request", half_a_request),
    Check("pieces", "a request may arrive in small pieces", pieces),
    Check("wrong-key", "a wrong key is refused, with an error object", wrong_key),
)
