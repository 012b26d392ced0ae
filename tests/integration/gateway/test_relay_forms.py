"""Sound and pictures through the relay: forms go on as they came, to the profile that their model names."""

from __future__ import annotations

import json

import pytest
from gateway_fakes import EngineSide, Gateway, Heard, served
from msgspec.structs import replace

pytestmark = pytest.mark.anyio

FORM = "Content-Type: multipart/form-data; boundary=xYz\r\n"
SOUND = b"RIFF" + bytes(range(256)) * 4096
BODY = (
    b'--xYz\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n%b\r\n'
    b'--xYz\r\nContent-Disposition: form-data; name="model"\r\n\r\near\r\n--xYz--\r\n' % SOUND
)


async def heard_words(heard: Heard, side: EngineSide) -> None:
    await side.json({"text": "The sea."})


@pytest.fixture(autouse=True)
def programs(gateway: Gateway) -> None:
    gateway.engine.script = heard_words
    gateway.catalogue.served |= {
        "ear": served("ear", "transcription"),
        "mouth": served("mouth", "speech"),
        "brush": replace(served("brush", "image"), called="sdxl"),
        "named": replace(served("named", "transcription"), called="whisper-1"),
    }


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/audio/translations"])
async def test_a_form_reaches_the_program_byte_for_byte(gateway: Gateway, path: str) -> None:
    answer = await gateway.ask(BODY, path, FORM)
    assert (answer.status, answer.json()) == (200, {"text": "The sea."})
    (heard,) = gateway.engine.heard
    assert heard.line == b"POST %b HTTP/1.1" % path.encode()
    assert heard.headers[b"content-type"] == b"multipart/form-data; boundary=xYz"
    assert heard.body == BODY
    assert (gateway.row.profile, gateway.row.api) == ("ear", path.rpartition("/")[2])


async def test_a_program_hears_its_own_name_for_its_model(gateway: Gateway) -> None:
    await gateway.ask(BODY.replace(b"\r\near\r\n", b"\r\nnamed\r\n"), "/v1/audio/transcriptions", FORM)
    await gateway.ask(b'{"n": 1, "model": "brush", "prompt": "\\u00e9", "x": 1.50}', "/v1/images/generations")
    form, written = gateway.engine.heard
    assert form.body == BODY.replace(b"\r\near\r\n", b"\r\nwhisper-1\r\n")
    assert written.body == b'{"n":1,"model":"sdxl","prompt":"\\u00e9","x":1.50}'


async def test_speech_comes_back_as_it_is(gateway: Gateway) -> None:
    async def speak(_: Heard, side: EngineSide) -> None:
        await side.say(
            b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: %d\r\n\r\n%b" % (len(SOUND), SOUND)
        )

    gateway.engine.script = speak
    answer = await gateway.ask({"model": "mouth", "input": "Hello.", "voice": "a"}, "/v1/audio/speech")
    assert (answer.status, answer.headers["content-type"], answer.body) == (200, "audio/mpeg", SOUND)


async def test_a_profile_for_something_else_is_refused_with_the_way_out(gateway: Gateway) -> None:
    answer = await gateway.ask(BODY.replace(b"\r\near\r\n", b"\r\ntiny\r\n"), "/v1/audio/transcriptions", FORM)
    assert answer.status == 400
    assert "does chat, not transcription" in answer.json()["error"]["message"]
    assert gateway.engine.heard == []


@pytest.mark.parametrize(("body", "kind"), [(json.dumps({"model": "ear"}).encode(), ""), (BODY[:-12], FORM)])
async def test_what_is_no_form_is_told(gateway: Gateway, body: bytes, kind: str) -> None:
    answer = await gateway.ask(body, "/v1/audio/transcriptions", kind)
    assert answer.status == 400
    assert "form" in answer.json()["error"]["message"]
    assert gateway.engine.heard == []
