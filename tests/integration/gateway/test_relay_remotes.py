"""Remotes: what reaches them, what of their answers reaches the client, and what their errors mean here."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress
from pathlib import Path

import anyio
import msgspec
import pytest
from certificates import certificate
from gateway_fakes import ANSWER, EngineSide, Gateway, Heard, Script, ScriptedEngine, gateway_with, served

from hostler.accounts.keys import Keyring
from hostler.config.quantities import Seconds
from hostler.config.settings import LimitSettings
from hostler.engines.protocol import Endpoint, Remote
from hostler.fleet.protocol import Needs, Served
from hostler.gateway.relay.upstream import Pool, UpstreamLimits

pytestmark = pytest.mark.anyio

CHAT = {"model": "cloud", "messages": [{"role": "user", "content": "The sea?"}], "temperature": 0.10}
OPENAI = Remote(base="/api/v1", tls=False, speaks="openai", model="big-1", forward_key=False)
ANTHROPIC = msgspec.structs.replace(OPENAI, speaks="anthropic")
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "The sea."}],
    "usage": {"input_tokens": 8, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0, "output_tokens": 3},
}  # fmt: skip
EVENTS = (
    {"type": "message_start", "message": {**MESSAGE, "content": [], "usage": {**MESSAGE["usage"], "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "The sea."}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
    {"type": "message_stop"},
)


def reach(gateway: Gateway, remote: Remote, key: str = "remote-key") -> None:
    """Let every profile be this remote, at the scripted engine's place."""
    there = gateway.engine.endpoint
    gateway.fleet.endpoint = Endpoint(there.host, there.port, key, remote)
    cloud = msgspec.structs.replace(served("cloud", "chat"), speaks=remote.speaks, called=remote.model)
    gateway.catalogue.served["cloud"] = cloud


def falls_back(gateway: Gateway) -> None:
    """`auto` means the remote, then a profile that runs here."""
    here = gateway.engine.endpoint
    cloud, spare = gateway.catalogue.served["cloud"], served("spare", "chat")

    def choose(needs: Needs) -> tuple[Served, ...]:
        return (cloud, spare)

    gateway.catalogue.served["auto"] = msgspec.structs.replace(cloud, choose=choose)
    gateway.fleet.endpoints["spare"] = here


def failing(status: str, body: object, extra: str = "") -> Script:
    """A remote that fails, and an engine at the same place that answers: only the engine is told of a request's id."""

    async def script(heard: Heard, side: EngineSide) -> None:
        if b"x-request-id" in heard.headers:
            await side.json(ANSWER)
        else:
            await side.json(body, status, extra)

    return script


def problem(kind: str, message: str) -> dict[str, object]:
    return {"type": "error", "error": {"type": kind, "message": message}}


async def say_events(side: EngineSide, *events: object) -> None:
    for event in events:
        await side.event(json.dumps(event).encode())


# --- what reaches it ----------------------------------------------------------------------------------


async def test_a_remote_gets_its_path_key_and_model_and_nothing_of_the_client(gateway: Gateway) -> None:
    reach(gateway, OPENAI)
    answer = await gateway.ask(CHAT, headers="Authorization: Bearer mine\r\nCookie: c=1\r\nUser-Agent: me/1\r\n")
    assert (answer.status, answer.json()) == (200, ANSWER)
    (heard,) = gateway.engine.heard
    assert heard.line == b"POST /api/v1/chat/completions HTTP/1.1"
    assert heard.headers[b"authorization"] == b"Bearer remote-key"
    assert heard.headers[b"host"] == b"127.0.0.1:%d" % gateway.engine.endpoint.port
    assert heard.headers.keys() == {
        b"host", b"authorization", b"user-agent", b"accept-encoding", b"content-type", b"content-length"
    }  # fmt: skip
    assert b"mine" not in b"".join(heard.headers.values())
    assert heard.headers[b"user-agent"].startswith(b"hostler/")
    assert json.loads(heard.body) == {**CHAT, "model": "big-1"}
    assert b'"temperature": 0.1' in heard.body.replace(b":0", b": 0")
    assert answer.headers["x-hostler-profile"] == "cloud"


async def test_without_a_key_none_is_sent(gateway: Gateway) -> None:
    reach(gateway, OPENAI, key="")
    await gateway.ask(CHAT, headers="Authorization: Bearer mine\r\nx-api-key: mine\r\n")
    assert not {b"authorization", b"x-api-key"} & gateway.engine.heard[0].headers.keys()


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/v1/completions", b"/api/v1/completions"),
        ("/v1/responses", b"/api/v1/responses"),
        ("/chat/completions", b"/api/v1/chat/completions"),
    ],
)
async def test_its_other_paths(gateway: Gateway, path: str, target: bytes) -> None:
    reach(gateway, OPENAI)
    assert (await gateway.ask(CHAT, path)).status == 200
    assert gateway.engine.heard[0].line.split()[1] == target


@pytest.mark.parametrize(("remote", "path"), [(OPENAI, "/tokenize"), (ANTHROPIC, "/v1/responses")])
async def test_what_it_does_not_speak_is_refused_here(gateway: Gateway, remote: Remote, path: str) -> None:
    reach(gateway, remote)
    answer = await gateway.ask(CHAT, path)
    assert answer.status == 400
    assert "/v1/chat/completions" in answer.body.decode()
    assert gateway.engine.heard == []


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        ("Authorization: Bearer sk-mine\r\n", {b"authorization": b"Bearer sk-mine"}),
        ("x-api-key: sk-mine\r\n", {b"authorization": b"Bearer sk-mine"}),
    ],
)
async def test_the_clients_own_key_is_forwarded_when_asked(
    gateway: Gateway, headers: str, sent: dict[bytes, bytes]
) -> None:
    reach(gateway, msgspec.structs.replace(OPENAI, forward_key=True), key="")
    assert (await gateway.ask(CHAT, headers=headers)).status == 200
    said = gateway.engine.heard[0].headers
    assert {name: said[name] for name in (b"authorization", b"x-api-key") if name in said} == sent


@pytest.mark.parametrize("headers", ["", "Authorization: Basic bWU6bWU=\r\n", "Authorization: Bearer hostler-old\r\n"])
async def test_without_a_key_of_his_own_the_client_is_told(gateway: Gateway, headers: str) -> None:
    reach(gateway, msgspec.structs.replace(OPENAI, forward_key=True), key="")
    answer = await gateway.ask(CHAT, headers=headers)
    assert (answer.status, answer.json()["error"]["code"]) == (401, "credential_missing")
    assert gateway.engine.heard == []
    assert [len(lease.ends) for lease in gateway.fleet.leases] == [1]


async def test_a_key_of_this_gateway_is_never_forwarded(keys: Keyring) -> None:
    ours, other = keys.add("me"), keys.add("you")
    async with gateway_with(keys) as gateway:
        reach(gateway, msgspec.structs.replace(OPENAI, forward_key=True), key="")
        for headers in (
            f"Authorization: Bearer {ours}\r\n",
            f"x-api-key: {ours}\r\n",
            f"Authorization: Bearer {ours}\r\nx-api-key: {ours}\r\n",
            f"Authorization: Bearer {ours}\r\nx-api-key: {other}\r\n",
        ):
            assert (await gateway.ask(CHAT, headers=headers)).status == 401
        assert gateway.engine.heard == []
        answer = await gateway.ask(CHAT, headers=f"Authorization: Bearer {ours}\r\nx-api-key: sk-mine\r\n")
        assert answer.status == 200
        assert gateway.engine.heard[0].headers[b"authorization"] == b"Bearer sk-mine"


# --- what comes back ----------------------------------------------------------------------------------


async def test_streams_pass_through_and_their_usage_is_read(gateway: Gateway) -> None:
    reach(gateway, OPENAI)
    usage = {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}

    async def stream(heard: Heard, side: EngineSide) -> None:
        await side.stream_head()
        await side.event(b'{"choices":[{"delta":{"content":"The sea."}}]}')
        await side.event(json.dumps({"choices": [], "usage": usage}).encode())
        await side.stream_end()

    gateway.engine.script = stream
    answer = await gateway.ask(CHAT | {"stream": True})
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.body.count(b"data: ") == 3
    assert (gateway.row.tokens_in, gateway.row.tokens_cached, gateway.row.tokens_out) == (12, 4, 3)


async def test_of_its_head_only_what_is_for_the_client_is_handed_on(gateway: Gateway) -> None:
    reach(gateway, OPENAI)
    secret = "Set-Cookie: a=b\r\nopenai-organization: mine\r\nx-ratelimit-limit-requests: 5\r\nRetry-After: 3\r\n"
    gateway.engine.script = failing("400 Bad Request", problem("invalid_request_error", "Too long."), secret)
    answer = await gateway.ask(CHAT)
    assert (answer.status, answer.json()["error"]["message"]) == (400, "Too long.")
    assert answer.headers["x-hostler-source"] == "engine"
    assert answer.headers["retry-after"] == "3"
    assert not {"set-cookie", "openai-organization", "x-ratelimit-limit-requests"} & answer.headers.keys()


async def test_a_client_that_leaves_closes_its_connection(gateway: Gateway) -> None:
    reach(gateway, OPENAI)
    gone = anyio.Event()

    async def endless(heard: Heard, side: EngineSide) -> None:
        await side.stream_head()
        await side.event(b"1")
        await side.gone()
        gone.set()

    gateway.engine.script = endless
    client = await gateway.client()
    client.send("POST", "/v1/chat/completions", json.dumps(CHAT | {"stream": True}).encode())
    await client.head()
    client.leave()
    with anyio.fail_after(5):
        await gone.wait()
        await gateway.fleet.ended.wait()


# --- errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "becomes"),
    [
        ("401 Unauthorized", 502, "remote_refused"),
        ("403 Forbidden", 502, "remote_refused"),
        ("404 Not Found", 502, "remote_refused"),
        ("302 Found", 502, "remote_refused"),
        ("429 Too Many Requests", 503, "remote_busy"),
        ("503 Service Unavailable", 503, "remote_busy"),
        ("529 Overloaded", 503, "remote_busy"),
        ("500 Internal Server Error", 502, "remote_failed"),
        ("408 Request Timeout", 502, "remote_failed"),
    ],
)
@pytest.mark.parametrize("remote", [OPENAI, ANTHROPIC])
async def test_its_refusals_are_errors_of_ours(
    gateway: Gateway, remote: Remote, status: str, code: int, becomes: str
) -> None:
    reach(gateway, remote)
    said = problem("x", "Key remote-key is\nno good.")
    gateway.engine.script = failing(status, said, "Retry-After: 7\r\n")
    answer = await gateway.ask(CHAT)
    error = answer.json()["error"]
    assert (answer.status, error["code"], error["source"]) == (code, becomes, "engine")
    assert answer.headers.get("retry-after") == ("7" if becomes in ("remote_busy", "remote_failed") else None)
    assert "remote-key" not in answer.body.decode()
    assert ("Key ... is no good" in error["message"]) == (status != "302 Found")
    assert [lease.ends for lease in gateway.fleet.leases] == [[(code, False)]]


async def test_a_name_that_no_machine_can_have_is_out_of_reach(gateway: Gateway) -> None:
    reach(gateway, OPENAI)
    gateway.fleet.endpoint = Endpoint("api..example", 80, "", OPENAI)
    answer = await gateway.ask(CHAT)
    assert (answer.status, answer.json()["error"]["code"]) == (502, "remote_unreachable")


async def test_no_piece_of_a_key_is_left_where_a_refusal_is_cut(gateway: Gateway) -> None:
    reach(gateway, OPENAI, key="remote-key-0123456789")
    gateway.engine.script = failing("401 Unauthorized", problem("x", "x" * 280 + " remote-key-0123456789"))
    assert b"remote-key" not in (await gateway.ask(CHAT)).body


@pytest.mark.parametrize("remote", [OPENAI, ANTHROPIC])
@pytest.mark.parametrize(("kind", "body"), [("text/html; charset=utf-8", b"<html>Log in</html>"), ("text/html", b"")])
async def test_a_page_in_place_of_an_answer_is_a_failure(
    gateway: Gateway, remote: Remote, kind: str, body: bytes
) -> None:
    reach(gateway, remote)

    async def page(heard: Heard, side: EngineSide) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        await side.say(head.encode() + body)

    gateway.engine.script = page
    answer = await gateway.ask(CHAT)
    error = answer.json()["error"]
    assert (answer.status, error["code"]) == (502, "remote_failed")
    assert "url" in error["hint"]
    assert [lease.ends for lease in gateway.fleet.leases] == [[(502, False)]]


async def test_when_to_come_again_may_be_a_date(gateway: Gateway) -> None:
    reach(gateway, OPENAI)
    gateway.engine.script = failing("429 Too Many Requests", {}, "Retry-After: Fri, 31 Dec 2100 23:59:59 GMT\r\n")
    answer = await gateway.ask(CHAT)
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 86400
    gateway.engine.script = failing("429 Too Many Requests", {}, "Retry-After: some day\r\n")
    assert (await gateway.ask(CHAT)).status == 503


@pytest.mark.parametrize("status", ["401 Unauthorized", "429 Too Many Requests", "500 No", "404 No"])
async def test_its_refusals_fall_back(gateway: Gateway, status: str) -> None:
    reach(gateway, OPENAI)
    falls_back(gateway)
    gateway.engine.script = failing(status, problem("x", "No."))
    answer = await gateway.ask(CHAT | {"model": "auto"})
    assert (answer.status, answer.headers["x-hostler-profile"]) == (200, "spare")
    assert json.loads(gateway.engine.heard[1].body)["model"] == "auto"


async def test_a_request_that_is_wrong_does_not_fall_back(gateway: Gateway) -> None:
    reach(gateway, OPENAI)
    falls_back(gateway)
    gateway.engine.script = failing("400 Bad Request", problem("invalid_request_error", "Too long."))
    assert (await gateway.ask(CHAT | {"model": "auto"})).status == 400


async def test_a_client_without_a_key_for_it_falls_back(gateway: Gateway) -> None:
    reach(gateway, msgspec.structs.replace(OPENAI, forward_key=True), key="")
    falls_back(gateway)
    answer = await gateway.ask(CHAT | {"model": "auto"})
    assert (answer.status, answer.headers["x-hostler-profile"]) == (200, "spare")


async def test_a_refusal_of_the_clients_own_key_is_the_clients(gateway: Gateway) -> None:
    reach(gateway, msgspec.structs.replace(OPENAI, forward_key=True), key="")
    gateway.engine.script = failing("401 Unauthorized", problem("authentication_error", "Wrong key."))
    answer = await gateway.ask(CHAT, headers="Authorization: Bearer sk-mine\r\n")
    assert (answer.status, answer.json()["error"]["message"]) == (401, "Wrong key.")


async def test_one_that_cannot_be_reached_is_tried_once_and_falls_back(gateway: Gateway) -> None:
    reach(gateway, OPENAI)
    falls_back(gateway)
    free = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = free.sockets[0].getsockname()[1]
    free.close()
    await free.wait_closed()
    gateway.fleet.endpoint = Endpoint("127.0.0.1", port, "remote-key", OPENAI)
    answer = await gateway.ask(CHAT | {"model": "auto"})
    assert (answer.status, answer.headers["x-hostler-profile"]) == (200, "spare")
    assert [lease.profile for lease in gateway.fleet.leases] == ["cloud", "spare"]
    gateway.catalogue.served["auto"] = gateway.catalogue.served["cloud"]
    error = (await gateway.ask(CHAT)).json()["error"]
    assert error["code"] == "remote_unreachable"
    assert "127.0.0.1 cannot be reached" in error["message"]


async def test_one_that_breaks_off_before_its_first_byte_is_not_asked_twice(gateway: Gateway) -> None:
    """What it did of the request by then may have cost money."""
    reach(gateway, OPENAI)

    async def die(heard: Heard, side: EngineSide) -> None:
        side.kill()

    gateway.engine.script = die
    error = (await gateway.ask(CHAT)).json()["error"]
    assert error["code"] == "remote_unreachable"
    assert "engine" not in error["message"]
    assert len(gateway.engine.heard) == 1


async def test_a_connection_that_it_closed_meanwhile_is_replaced(gateway: Gateway) -> None:
    reach(gateway, OPENAI)
    client = await gateway.client()
    assert (await client.ask(CHAT)).status == 200
    (side,) = gateway.engine.open

    async def close_then_answer(heard: Heard, again: EngineSide) -> None:
        if again is side:
            again.writer.close()
        else:
            await again.json(ANSWER)

    gateway.engine.script = close_then_answer
    assert (await client.ask(CHAT)).json() == ANSWER


async def test_one_that_is_gone_without_a_word_is_noticed(gateway: Gateway) -> None:
    """It may be silent for minutes because it thinks; so the system asks whether it is there."""
    there = gateway.engine.endpoint
    pool = Pool(UpstreamLimits())
    for remote, asked in ((None, 0), (OPENAI, 1)):
        connection = await pool.connect(Endpoint(there.host, there.port, "", remote))
        wire = connection._transport.get_extra_info("socket")
        assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == asked
        connection.hang_up()


async def test_silence_is_bounded(keys: Keyring) -> None:
    async with gateway_with(keys, LimitSettings(first_byte_s=Seconds(0.05))) as gateway:
        reach(gateway, OPENAI)

        async def silent(heard: Heard, side: EngineSide) -> None:
            await side.gone()

        gateway.engine.script = silent
        assert (await gateway.ask(CHAT)).json()["error"]["code"] == "engine_silent"


# --- Anthropic's API ----------------------------------------------------------------------------------


async def answer_message(heard: Heard, side: EngineSide) -> None:
    if not json.loads(heard.body).get("stream"):
        await side.json(MESSAGE)
        return
    await side.stream_head()
    await say_events(side, *EVENTS)
    await side.say(b"0\r\n\r\n")


async def test_chat_is_translated_for_one_that_speaks_anthropics_api(gateway: Gateway) -> None:
    reach(gateway, ANTHROPIC)
    gateway.engine.script = answer_message
    answer = await gateway.ask(CHAT)
    (heard,) = gateway.engine.heard
    assert heard.line == b"POST /api/v1/messages HTTP/1.1"
    assert heard.headers[b"x-api-key"] == b"remote-key"
    assert heard.headers[b"anthropic-version"] == b"2023-06-01"
    assert b"authorization" not in heard.headers
    assert json.loads(heard.body)["model"] == "big-1"
    assert answer.json()["choices"][0]["message"]["content"] == "The sea."
    assert answer.headers["content-type"] == "application/json"
    assert (gateway.row.tokens_in, gateway.row.tokens_cached, gateway.row.tokens_out) == (12, 4, 3)


async def test_its_streams_too(gateway: Gateway) -> None:
    reach(gateway, ANTHROPIC)
    gateway.engine.script = answer_message
    client = await gateway.client()
    for _ in range(2):
        answer = await client.ask(CHAT | {"stream": True})
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.body.endswith(b"data: [DONE]\n\n")
        assert b'"content":"The sea."' in answer.body
    row = gateway.recorder.rows[1]
    assert (row.status, row.tokens_in, row.tokens_cached, row.tokens_out) == (200, 12, 4, 3)
    assert gateway.engine.connections == 1


async def test_its_own_clients_pass_through(gateway: Gateway) -> None:
    reach(gateway, ANTHROPIC)
    gateway.engine.script = answer_message
    versions = "anthropic-version: 2026-10-21\r\nanthropic-beta: a,b\r\n"
    answer = await gateway.ask(CHAT | {"max_tokens": 5}, "/v1/messages", versions)
    heard = gateway.engine.heard[0]
    assert (answer.json(), heard.line) == (MESSAGE, b"POST /api/v1/messages HTTP/1.1")
    assert (heard.headers[b"anthropic-version"], heard.headers[b"anthropic-beta"]) == (b"2026-10-21", b"a,b")
    assert json.loads(heard.body)["model"] == "big-1"


@pytest.mark.parametrize(
    ("path", "headers", "sent"),
    [
        ("/v1/chat/completions", "Authorization: Bearer sk-mine\r\n", (b"x-api-key", b"sk-mine")),
        ("/v1/messages", "Authorization: Bearer sk-mine\r\n", (b"authorization", b"Bearer sk-mine")),
        ("/v1/messages", "x-api-key: sk-mine\r\n", (b"x-api-key", b"sk-mine")),
    ],
)
async def test_the_clients_own_key_goes_where_it_belongs(
    gateway: Gateway, path: str, headers: str, sent: tuple[bytes, bytes]
) -> None:
    reach(gateway, msgspec.structs.replace(ANTHROPIC, forward_key=True), key="")
    gateway.engine.script = answer_message
    assert (await gateway.ask(CHAT | {"max_tokens": 5}, path, headers)).status == 200
    assert gateway.engine.heard[0].headers[sent[0]] == sent[1]


async def test_what_is_wrong_with_a_request_is_told_in_the_clients_form(gateway: Gateway) -> None:
    reach(gateway, ANTHROPIC)
    gateway.engine.script = failing("400 Bad Request", problem("invalid_request_error", "max_tokens: too many"))
    answer = await gateway.ask(CHAT)
    assert answer.status == 400
    assert answer.json()["error"]["message"] == "max_tokens: too many"
    assert (await gateway.ask(CHAT | {"n": 2})).json()["error"]["code"] == "invalid_request"


async def test_an_error_that_a_stream_begins_with_falls_back(gateway: Gateway) -> None:
    reach(gateway, ANTHROPIC)
    falls_back(gateway)

    async def overloaded(heard: Heard, side: EngineSide) -> None:
        if b"x-request-id" in heard.headers:
            await side.json(ANSWER)
            return
        await side.stream_head()
        await say_events(side, problem("overloaded_error", "Overloaded"))

    gateway.engine.script = overloaded
    answer = await gateway.ask(CHAT | {"model": "auto", "stream": True})
    assert (answer.status, answer.headers["x-hostler-profile"]) == (200, "spare")


@pytest.mark.parametrize("kill", [True, False])
async def test_an_error_in_the_middle_ends_the_stream_with_it(gateway: Gateway, kill: bool) -> None:
    reach(gateway, ANTHROPIC)

    async def breaks(heard: Heard, side: EngineSide) -> None:
        await side.stream_head()
        await say_events(side, *EVENTS[:3])
        if kill:
            await side.say(b"0\r\n\r\n")
        else:
            await say_events(side, problem("overloaded_error", "Overloaded"))

    gateway.engine.script = breaks
    answer = await gateway.ask(CHAT | {"stream": True})
    assert b"The sea." in answer.body
    assert (b"remote_failed" if kill else b"remote_busy") in answer.body
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert gateway.row.status == (502 if kill else 503)


async def test_one_that_speaks_something_else_says_what_to_correct(gateway: Gateway) -> None:
    reach(gateway, ANTHROPIC)
    gateway.engine.script = failing("200 OK", {"choices": 3, "content": "x"})
    error = (await gateway.ask(CHAT)).json()["error"]
    assert (error["code"], "speaks" in error["message"]) == ("remote_failed", True)


# --- TLS ----------------------------------------------------------------------------------------------


async def test_tls(keys: Keyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    public, context = certificate(tmp_path)
    secure = msgspec.structs.replace(OPENAI, tls=True)
    async with gateway_with(keys) as gateway, ScriptedEngine(context).running() as remote:
        gateway.engine = remote
        monkeypatch.setenv("SSL_CERT_FILE", str(public))
        reach(gateway, secure)
        client = await gateway.client()
        for _ in range(2):
            assert (await client.ask(CHAT)).json() == ANSWER
        assert (await client.ask(CHAT | {"stream": True})).body.endswith(b"data: [DONE]\n\n")
        assert remote.connections == 1


async def test_one_that_never_shakes_hands_is_given_up(keys: Keyring) -> None:
    async with gateway_with(keys, LimitSettings(connect_s=Seconds(0.1))) as gateway:
        left = anyio.Event()

        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                while await reader.read(1024):
                    pass
            left.set()
            writer.close()

        async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
            reach(gateway, OPENAI)
            port = server.sockets[0].getsockname()[1]
            secure = msgspec.structs.replace(OPENAI, tls=True)
            gateway.fleet.endpoint = Endpoint("127.0.0.1", port, "remote-key", secure)
            for _ in range(2):  # at the first the system's certificates are read, which takes its time too
                error = (await gateway.ask(CHAT)).json()["error"]
                assert error["code"] == "remote_unreachable"
                assert "within 0.5 s" in error["message"]
            with anyio.fail_after(5):
                await left.wait()


async def test_a_certificate_that_nobody_vouches_for_is_refused(keys: Keyring, tmp_path: Path) -> None:
    _, context = certificate(tmp_path)
    async with gateway_with(keys) as gateway, ScriptedEngine(context).running() as remote:
        gateway.engine = remote
        reach(gateway, msgspec.structs.replace(OPENAI, tls=True))
        error = (await gateway.ask(CHAT)).json()["error"]
        assert error["code"] == "remote_unreachable"
        assert "certificate" in error["message"]
        assert remote.heard == []
