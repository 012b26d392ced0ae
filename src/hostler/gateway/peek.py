"""What the gateway must know of a request body, without re-encoding it.

The body is read once by msgspec, which also proves that it is a JSON object; what the engine gets is the
client's bytes, with a profile's sampling defaults spliced in right after the opening brace for fields that
the client left out.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, UnsetType

from hostler.config.settings import SamplingSettings
from hostler.errors import InvalidRequest
from hostler.fleet.protocol import Place

Absent = Raw | UnsetType


class Peek(msgspec.Struct, gc=False):
    """The fields that the gateway looks at; the rest only has to be JSON."""

    model: str | None = None
    stream: bool | None = None
    temperature: Absent = UNSET
    top_p: Absent = UNSET
    top_k: Absent = UNSET
    min_p: Absent = UNSET
    repeat_penalty: Absent = UNSET
    presence_penalty: Absent = UNSET
    frequency_penalty: Absent = UNSET
    max_tokens: Absent = UNSET
    seed: Absent = UNSET
    max_completion_tokens: Absent = UNSET
    n_predict: Absent = UNSET


_decoder = msgspec.json.Decoder(Peek)

#: Other names under which a client may have set the same thing.
_SYNONYMS = {"max_tokens": ("max_completion_tokens", "n_predict")}


def peek(body: bytes) -> Peek:
    """Read ``body``; raises InvalidRequest that says what is wrong and at which byte."""
    if not body:
        raise InvalidRequest("The body is empty.", hint='Send a JSON object, such as {"model": "NAME", ...}.')
    try:
        if not body.isascii():
            body.decode()
        return _decoder.decode(body)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The body is not UTF-8: {error.reason} at byte {error.start}.") from None
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"The body is not what this endpoint takes: {error}.") from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"The body is not JSON: {_plain(error)}.") from None
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply.") from None


def _plain(error: msgspec.DecodeError) -> str:
    return str(error).removeprefix("JSON is malformed: ")


_fields = msgspec.json.Decoder(dict[str, Raw])


def renamed(body: bytes, model: str) -> bytes:
    """``body``, which is a JSON object, with another `model`; all other values stay as they were written."""
    fields = _fields.decode(body)
    fields["model"] = Raw(msgspec.json.encode(model))
    return msgspec.json.encode(fields)


Default = tuple[str, tuple[str, ...], bytes]


class Defaults:
    """A profile's sampling defaults, encoded once."""

    def __init__(self, sampling: SamplingSettings) -> None:
        self.sampling = sampling
        self._fields: list[Default] = [
            (name, _SYNONYMS.get(name, ()), b'"%b":%b' % (name.encode(), msgspec.json.encode(value)))
            for name, value in msgspec.structs.asdict(sampling).items()
            if value is not None
        ]

    def splice(self, body: bytes, asked: Peek) -> bytes:
        """``body`` with the defaults that the client left out; ``body`` itself when there are none."""
        if not self._fields:
            return body
        missing = [
            text
            for name, synonyms, text in self._fields
            if getattr(asked, name) is UNSET and all(getattr(asked, other) is UNSET for other in synonyms)
        ]
        if not missing:
            return body
        brace = body.index(b"{") + 1
        comma = b"" if body[brace : brace + 256].lstrip()[:1] == b"}" or _is_empty(body, brace) else b","
        return b"".join((body[:brace], b",".join(missing), comma, memoryview(body)[brace:]))


def placed(body: bytes, place: Place) -> bytes:
    """``body`` with the slot it goes to, behind everything that the client says: of two the engine takes the last."""
    head = body[: body.rindex(b"}")].rstrip()
    comma = b"" if head.endswith(b"{") else b","
    return b'%b%b"id_slot":%d%b}' % (head, comma, place.slot, b',"cache_prompt":false' if place.fresh else b"")


def _is_empty(body: bytes, brace: int) -> bool:
    """Whether nothing but white space follows; only looked at beyond the first 256 bytes of it."""
    return not body[brace : brace + 256].strip() and body[brace:].lstrip()[:1] == b"}"
