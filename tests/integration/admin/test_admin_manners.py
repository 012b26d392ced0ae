"""What every management path has in common: methods, slashes, header lines, and errors that say what to do."""

from __future__ import annotations

import httpx
import msgspec
import pytest
from admin_fakes import World

from hostler.wire.management import Problem, ProblemBody, Requests

pytestmark = pytest.mark.anyio


def problem(answer: httpx.Response, status: int) -> Problem:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    told = msgspec.json.decode(answer.content, type=ProblemBody).error
    assert told.hint, told
    return told


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/api/gateway", "GET, HEAD, OPTIONS"),
        ("/api/gateway/", "GET, HEAD, OPTIONS"),
        ("/api/profiles/", "GET, HEAD, OPTIONS"),
        ("/api/profiles/a/b:c", "GET, HEAD, OPTIONS"),
        ("/api/profiles/a/b/load", "POST, OPTIONS"),
        ("/api/profiles/a/pin", "POST, DELETE, OPTIONS"),
        ("/api/models/warmup/a/b/benchmark", "POST, OPTIONS"),
        ("/api/load/hold-1", "DELETE, OPTIONS"),
        ("/api/models/warmup/status", "GET, HEAD, OPTIONS"),
        ("/api/docs/docs.html", "GET, HEAD, OPTIONS"),
    ],
)
async def test_each_path_says_what_it_takes(client: httpx.AsyncClient, world: World, path: str, allow: str) -> None:
    asked = await client.options(path)
    assert (asked.status_code, asked.headers["allow"], asked.content) == (204, allow, b"")
    refused = await client.request("PUT", path)
    assert problem(refused, 405).hint.startswith(f"It takes {allow};")
    assert refused.headers["allow"] == allow
    assert world.fleet.asked == []


async def test_a_head_is_what_a_get_would_be_and_ends_even_where_that_does_not(client: httpx.AsyncClient) -> None:
    for path in ("/api/gateway", "/api/profiles/coder/plan", "/api/profiles/none", "/api/docs"):
        whole, head = await client.get(path), await client.head(path)
        assert (head.status_code, head.content) == (whole.status_code, b"")
        assert head.headers["content-length"] == whole.headers["content-length"] == str(len(whole.content))
    for path in ("/api/events", "/api/logs?follow=true"):
        head = await client.head(path)
        assert head.status_code == 200
        assert head.headers["content-type"].startswith("text/")


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/api/profile", "Did you mean /api/profiles?"),
        ("/api/schema/other", "/api/docs shows every path."),
        ("/api/nothing/at/all", "/api/docs shows every path."),
        ("/api", "/api/docs shows every path."),
        ("/api/docs/other.js", "The page is /api/docs."),
        ("/api/v0/models", "LM Studio's API"),
    ],
)
async def test_what_is_not_there_is_said_with_what_is(client: httpx.AsyncClient, path: str, hint: str) -> None:
    told = problem(await client.get(path), 404)
    assert told.code == "not_found"
    assert hint in told.hint
    problem(await client.post(path), 404 if "docs" not in path else 405)


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("POST", "/api/load", b"[" * 60_000, "The body is nested too deeply."),
        ("POST", "/api/load", b'{"profile": "\xff"}', "The body is not UTF-8."),
        ("GET", "/api/usage?by=week", None, "`by`: there are profile, key, day, api"),
        ("GET", "/api/usage/requests?format=xml", None, "`format`: there are jsonl, csv"),
        ("GET", "/api/usage?since=inf", None, "`since`: Expected `float` <= 253402300799.0"),
        ("GET", "/api/usage?since=-1", None, "`since`: Expected `float` >= 0.0"),
        ("GET", "/api/requests?limit=many", None, "`limit`: Expected `int`, got `str`"),
        ("POST", "/api/models/warmup/coder?async=maybe", None, "async: Expected `bool`, got `str`"),
        ("POST", "/api/load", None, "This request needs a body: a JSON object."),
        ("POST", "/api/load", b"[]", "the body: Expected `object`, got `array`"),
        ("POST", "/api/load", b'{"profile": "coder", "hodl": 1}', "the body: Object contains unknown field `hodl`"),
        ("POST", "/api/load", b'{"profile": 5}', "`profile`: Expected `str`, got `int`"),
    ],
)
async def test_what_is_wrong_is_named(
    client: httpx.AsyncClient, method: str, path: str, body: bytes | None, said: str
) -> None:
    assert problem(await client.request(method, path, content=body), 400).message == said


async def test_a_body_that_is_compressed_or_too_large_is_told_so(client: httpx.AsyncClient, world: World) -> None:
    packed = await client.post("/api/load", content=b"\x1f\x8b", headers={"content-encoding": "gzip"})
    assert "Content-Encoding" in problem(packed, 400).hint
    assert "65536" in problem(await client.post("/api/load", content=b" " * 70_000), 413).message
    assert world.fleet.asked == []


async def test_answers_are_for_whoever_asked_alone_and_files_are_kept(client: httpx.AsyncClient) -> None:
    for path in ("/api/gateway", "/api/nothing", "/api/usage/requests", "/api/events/schema"):
        answer = await client.get(path)
        assert answer.headers.get_list("cache-control") == ["no-store"], path
        assert answer.headers["x-content-type-options"] == "nosniff"
    script = await client.get("/api/docs/rapidoc-min.js")
    assert script.headers.get_list("cache-control") == ["no-cache"]
    again = await client.get("/api/docs/rapidoc-min.js", headers={"if-none-match": script.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await client.get("/api/logs")).headers["content-type"] == "text/plain; charset=utf-8"


async def test_finished_requests_are_read_page_by_page(client: httpx.AsyncClient) -> None:
    every = msgspec.json.decode((await client.get("/api/requests")).content, type=Requests).recent
    at = every[-1].at
    older = msgspec.json.decode((await client.get(f"/api/requests?until={at}")).content, type=Requests).recent
    newer = msgspec.json.decode((await client.get(f"/api/requests?until={at + 1}")).content, type=Requests).recent
    assert (len(older), len(newer)) == (0, len(every))


@pytest.mark.parametrize("sent", [b"x", b"-1", b"1.5", b"\xb2", b"9" * 5000, b"1 "])
async def test_an_event_id_that_is_none_is_refused(client: httpx.AsyncClient, sent: bytes) -> None:
    """A superscript two is a digit to Python, and no number."""
    answer = await client.get("/api/events", headers=[(b"last-event-id", sent)])
    assert "Last-Event-ID" in problem(answer, 400).message
