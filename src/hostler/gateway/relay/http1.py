"""An HTTP/1.1 response, read as it comes: bytes in, events out, no I/O.

One :class:`ResponseParser` reads one response at a time. ``feed`` takes whatever the socket gave and
returns what it completes: a :class:`Head`, then body bytes (all of one feed joined, chunk frames taken
off), then :data:`END`. Heads and frames may be split at any byte. Rules are those of RFC 9112, section 6.
"""

from __future__ import annotations

import re
from typing import Final

from hostler.config.quantities import format_bytes
from hostler.errors import EngineLost

HEAD_LIMIT: Final = 64 * 2**10
_SIZE_LINE_LIMIT: Final = 4 * 2**10

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [^\r\n]*)?")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_DIGITS = re.compile(rb"[0-9]{1,18}")

#: Size lines of the frames that streams are made of; a look-up costs a third of a match.
_COMMON = {b"%x" % size: size for size in range(1, 1024)} | {b"%X" % size: size for size in range(1, 1024)}

#: An engine says the same again and again: heads by their bytes, with how the body is framed and what follows it.
_KNOWN: dict[bytes, tuple[Head, int, bool]] = {}
_KNOWN_HEADS: Final = 256
_KNOWN_BYTES: Final = 1024

_HEAD, _LENGTH, _SIZES, _CHUNK, _CRLF, _TRAILER, _UNTIL_CLOSE, _DONE = range(8)


class End:
    """The response is complete."""

    __slots__ = ()


END: Final = End()


class Head:
    """Status and fields of a response; names are lower case. Shared by all that came in the same bytes.

    ``length`` is the number of body bytes, None when only the end of the body tells. ``kept`` is for whoever makes
    something of the fields that another answer with this head can use.
    """

    __slots__ = ("fields", "kept", "length", "status")

    def __init__(self, status: int, fields: list[tuple[bytes, bytes]], length: int | None) -> None:
        self.status = status
        self.fields = fields
        self.length = length
        self.kept: bytes | None = None

    def get(self, name: bytes) -> bytes:
        """The first field of that name, empty when there is none."""
        for key, value in self.fields:
            if key == name:
                return value
        return b""


Happening = Head | bytes | End


class ResponseParser:
    """Reads responses, one after the other; ``begin`` before each.

    Raises EngineLost when the peer does not speak HTTP/1.1 or passes a limit; the parser is then spent.
    """

    __slots__ = ("_bodiless", "_body", "_buffer", "_left", "_limit", "_state", "_trailer", "reusable")

    def __init__(self, head_limit: int = HEAD_LIMIT) -> None:
        self._limit = head_limit
        self.begin()

    def begin(self, *, bodiless: bool = False) -> None:
        """Expect a new response; ``bodiless`` when the request was HEAD."""
        self._state = _HEAD
        self._bodiless = bodiless
        self._buffer = b""
        self._left = 0
        self._trailer = 0
        self._body: list[bytes] = []
        #: After END: whether the connection may carry another request.
        self.reusable = True

    @property
    def done(self) -> bool:
        return self._state == _DONE

    def feed(self, data: bytes) -> list[Happening]:
        """Take the next bytes; what they complete, in order."""
        if self._state == _HEAD and (whole := self._whole(data)) is not None:
            return whole
        events: list[Happening] = []
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        at = 0
        if self._state == _HEAD:
            head, at = self._read_head(data)
            if head is None:
                return events
            events.append(head)
        at = self._read_body(data, at)
        if self._body:
            events.append(self._body[0] if len(self._body) == 1 else b"".join(self._body))
            self._body = []
        if self._state == _DONE:
            if at < len(data):
                self.reusable = False  # bytes that nobody asked for
            events.append(END)
        return events

    def _whole(self, data: bytes) -> list[Happening] | None:
        """All of a response, if it came at once, with a head that is known."""
        end = data.find(b"\r\n\r\n") + 4
        known = _KNOWN.get(data[: end - 4]) if end > 3 else None
        if known is None or known[0].length != len(data) - end or self._bodiless or self._buffer or end == len(data):
            return None
        head, _, self.reusable = known
        self._state = _DONE
        return [head, data[end:], END]

    def eof(self) -> list[Happening]:
        """The peer closed. A body that ends by closing is complete; anything else raises EngineLost."""
        self.reusable = False
        if self._state == _UNTIL_CLOSE:
            self._state = _DONE
            return [END]
        if self._state == _HEAD and not self._buffer:
            raise EngineLost("The engine closed the connection before it answered.")
        raise EngineLost("The engine closed the connection in the middle of its answer.")

    def _read_head(self, data: bytes) -> tuple[Head | None, int]:
        at = 0
        while True:
            end = data.find(b"\r\n\r\n", at)
            if (end if end >= 0 else len(data)) - at > self._limit:
                raise EngineLost(f"The head of the engine's answer is over {format_bytes(self._limit)}.")
            if end < 0:
                self._buffer = data[at:]
                return None, len(data)
            head = self._recall(data[at:end])
            at = end + 4
            if head is not None:
                return head, at

    def _recall(self, raw: bytes) -> Head | None:
        """The head, parsed once for all answers that begin with it."""
        if (known := _KNOWN.get(raw)) is not None and not self._bodiless:
            head, self._state, self.reusable = known
            self._left = head.length or 0
            return head
        parsed = self._parse(raw)
        if parsed is not None and len(raw) <= _KNOWN_BYTES and not self._bodiless:
            if len(_KNOWN) >= _KNOWN_HEADS:
                _KNOWN.clear()
            _KNOWN[raw] = parsed, self._state, self.reusable
        return parsed

    def _parse(self, raw: bytes) -> Head | None:
        """The head, or None for an interim (1xx) one."""
        first, *lines = raw.split(b"\r\n")
        if raw.count(b"\n") + raw.count(b"\r") != 2 * len(lines):
            raise EngineLost("The engine's answer has a line end inside a header line.")
        match = _STATUS.fullmatch(first)
        if match is None:
            raise EngineLost("The engine's answer does not begin like HTTP/1.1.")
        status = int(match[2])
        if status < 200:
            if status == 101:
                raise EngineLost("The engine switched protocols without being asked to.")
            return None
        fields = []
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon or not name or line[0] in b" \t":
                raise EngineLost("The engine's answer has a malformed header line.")
            fields.append((name.lower(), value.strip(b" \t")))
        return self._frame(status, fields, old=match[1] == b"0")

    def _frame(self, status: int, fields: list[tuple[bytes, bytes]], *, old: bool) -> Head:
        """Decide how the body ends and whether the connection may be used again."""
        coding, lengths, connection = b"", set[bytes](), b""
        for name, value in fields:
            if name == b"content-length":
                lengths.add(value)
            elif name == b"transfer-encoding":
                coding = value.lower()
            elif name == b"connection":
                connection = value.lower()
        self.reusable = b"keep-alive" in connection if old else b"close" not in connection
        if self._bodiless or status in (204, 304):
            self._state = _DONE
            return Head(status, fields, 0)
        if coding:
            self.reusable = self.reusable and not lengths
            chunked = coding == b"chunked" or coding.endswith((b",chunked", b", chunked"))
            self._state = _SIZES if chunked else _UNTIL_CLOSE
            return Head(status, fields, None)
        if not lengths:
            self._state = _UNTIL_CLOSE
            return Head(status, fields, None)
        text = lengths.pop()
        if lengths or not _DIGITS.fullmatch(text):
            raise EngineLost("The engine's answer has a wrong Content-Length.")
        self._left = int(text)
        self._state = _LENGTH if self._left else _DONE
        return Head(status, fields, self._left)

    def _read_body(self, data: bytes, at: int) -> int:
        """Move through ``data`` from ``at``; body bytes go to ``_body``. Where it stopped."""
        state = self._state
        if state == _LENGTH:
            return self._read_length(data, at)
        if state == _UNTIL_CLOSE:
            if at < len(data):
                self._body.append(data[at:] if at else data)
            return len(data)
        if state == _DONE:
            return at
        return self._read_chunks(data, at)

    def _read_length(self, data: bytes, at: int) -> int:
        there = len(data) - at
        if there > self._left:
            self._body.append(data[at : at + self._left])
            at += self._left
            self._left = 0
        else:
            if there:
                self._body.append(data[at:] if at else data)
            at = len(data)
            self._left -= there
        if not self._left:
            self._state = _DONE
        return at

    def _read_chunks(self, data: bytes, at: int) -> int:
        size = len(data)
        body = self._body
        while at < size:
            if self._state == _SIZES:
                at = self._read_common(data, at)
                if at == size:
                    return at
                match = _SIZE.match(data, at)
                if match is None:
                    return self._keep_size(data, at)
                self._left = int(match[1], 16)
                at = match.end()
                if not self._left:
                    self._state = _TRAILER
                    return self._read_trailer(data, at)
                self._state = _CHUNK
            if self._state == _CHUNK:
                end = at + self._left
                piece = data[at:end]
                if piece:
                    body.append(piece)
                if end > size:
                    self._left = end - size
                    return size
                at = end
                self._state = _CRLF
            if self._state == _CRLF:
                if size - at < 2 and data[at:] in (b"", b"\r"):
                    self._buffer = data[at:]
                    return size
                if data[at : at + 2] != b"\r\n":
                    raise EngineLost("The engine's answer has a chunk without its end.")
                at += 2
                self._state = _SIZES
            elif self._state == _TRAILER:
                return self._read_trailer(data, at)
        return at

    def _read_common(self, data: bytes, at: int) -> int:
        """Take whole frames of common sizes; where the first other thing begins."""
        find, keep, common, starts = data.find, self._body.append, _COMMON.get, data.startswith
        while True:
            line = find(b"\r\n", at, at + 5)
            if line < 0 or (length := common(data[at:line])) is None:
                return at
            end = line + 2 + length
            if not starts(b"\r\n", end):
                return at
            keep(data[line + 2 : end])
            at = end + 2

    def _keep_size(self, data: bytes, at: int) -> int:
        """An incomplete size line waits for more; a wrong one is an error."""
        if b"\n" in data[at:] or len(data) - at > _SIZE_LINE_LIMIT or not data[at : at + 1].isalnum():
            raise EngineLost("The engine's answer has a malformed chunk size.")
        self._buffer = data[at:]
        return len(data)

    def _read_trailer(self, data: bytes, at: int) -> int:
        """Drop trailer lines until the empty one."""
        while True:
            end = data.find(b"\r\n", at)
            if self._trailer + (len(data) if end < 0 else end) - at > self._limit:
                raise EngineLost(f"The trailer of the engine's answer is over {format_bytes(self._limit)}.")
            if end < 0:
                self._buffer = data[at:]
                return len(data)
            if end == at:
                self._state = _DONE
                return end + 2
            self._trailer += end + 2 - at
            at = end + 2
