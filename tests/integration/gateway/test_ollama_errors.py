"""Whatever goes wrong on a path of Ollama's API is told as Ollama tells it, also where ours begin alike."""

from __future__ import annotations

import pytest
from gateway_fakes import Gateway

from hostler.accounts.keys import Keyring
from hostler.gateway.door.front import LARGEST_BODY
from hostler.gateway.ollama.paths import OLLAMA, OLLAMA_FOLDERS
from hostler.gateway.routes import INFERENCE

pytestmark = pytest.mark.anyio

ASKED = [path.decode() for path, route in INFERENCE.items() if route.family == "ollama"]
PATHS = [*OLLAMA, *ASKED, *(f"{folder}x" for folder in OLLAMA_FOLDERS)]
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")


def is_ollamas(answer: object) -> bool:
    return isinstance(answer, dict) and isinstance(answer.get("error"), str) and bool(answer["error"])


@pytest.mark.parametrize("path", PATHS)
async def test_every_error_is_ollamas(gateway: Gateway, keys: Keyring, path: str) -> None:
    """A wrong method, a body that is none, no key, one that may not, a model that is not there; HEAD has no body."""
    client = await gateway.client()
    for method in METHODS:
        for body in (b"", b"{", b'{"model":"nobody","prompt":"x","input":"x"}', b"[" * 3000):
            client.send(method, path, body)
            answer = await client.answer()
            assert answer.status < 500
            assert answer.status == 200 or is_ollamas(answer.json()), (method, path, body, answer.body)
    head = await client.get(path, method="HEAD")
    assert head.status in (200, 400, 405)
    keys.add("one", "inference")
    if path != "/api/version":
        assert (await client.get(path, method="HEAD")).status == 401
        for method in METHODS:
            client = await gateway.client()
            client.send(method, path, b"{}")
            refused = await client.answer()
            assert (refused.status, is_ollamas(refused.json())) == (401, True)


@pytest.mark.parametrize("path", ["/api/show", "/api/pull"])
async def test_a_body_that_is_too_large(gateway: Gateway, path: str) -> None:
    answer = await gateway.ask(b'{"model":"' + b"x" * LARGEST_BODY + b'"}', path)
    assert (answer.status, is_ollamas(answer.json())) == (413, True)


@pytest.mark.parametrize("path", ["/api/tag", "/api/gateway", "/api/profiles/show", "/api/ps/x", "/api/shows"])
async def test_what_is_ours_keeps_its_form(gateway: Gateway, keys: Keyring, path: str) -> None:
    keys.add("one", "inference")
    answer = await (await gateway.client()).get(path)
    assert answer.status == 401
    assert {"code", "message"} <= set(answer.json()["error"])
