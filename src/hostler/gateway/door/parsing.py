"""uvicorn's HTTP protocol without two of its habits, each of which destroys a request.

It takes every offer to upgrade as taken and drops the body behind it, though a server may ignore such an offer
(RFC 9110, 7.8): Java's HttpClient offers h2c with each first POST. And it answers 400 to bytes that are no HTTP
also while an earlier answer is on its way, in the middle of it.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Lines that make the offer.
_OFFER = (b"connection", b"upgrade", b"http2-settings")


class PlainHttp(HttpToolsProtocol):
    """Reads requests; upgrades to a WebSocket alone, and those by GET."""

    _offered = False
    _lines_of: object = None
    _lines = b""

    def data_received(self, data: bytes) -> None:
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        while data:
            data = self._feed(data)

    def declines(self) -> bool:
        """Whether the head that has just been read offers what is not taken; it is then read once more, without."""
        if self.parser.should_upgrade() and self._get_upgrade() is not None:
            self._offered = not (self._should_upgrade() and self.parser.get_method() == b"GET")
        return self._offered

    def answering(self) -> bool:
        """Whether an answer to a request that was read whole is on its way."""
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete and not cycle.more_body

    def stop_listening(self) -> None:
        """Read nothing more, and close after the present answer."""
        raise NotImplementedError

    def default_lines(self) -> bytes:
        """Date and server lines; joined once a second."""
        current = self.server_state.default_headers
        if current is not self._lines_of:
            self._lines_of = current
            self._lines = b"".join(b"%b: %b\r\n" % header for header in current)
        return self._lines

    def _feed(self, data: bytes) -> bytes:
        """Parse ``data``; what is to be parsed next."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._offered:
                return self._without_offer() + data[upgrade.args[0] :]
            if self.answering():
                self.stop_listening()
            else:
                self.handle_websocket_upgrade()
        except httptools.HttpParserError:
            if self.answering():
                self.stop_listening()
            else:
                self.send_400_response("Invalid HTTP request received.")
        return b""

    def _without_offer(self) -> bytes:
        """The head again, for a fresh parser."""
        self._offered = False
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        if not self.parser.should_keep_alive():
            lines.append(b"connection: close")
        lines += [b"%b: %b" % header for header in self.headers if header[0] not in _OFFER]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return b"\r\n".join((*lines, b"", b""))


def plain_path(url: bytes) -> bytes:
    """The path of a request's target, which may come with scheme and host, and escaped."""
    if url[:1] == b"/" and b"%" not in url:
        return url.partition(b"?")[0]
    return unquote_to_bytes(httptools.parse_url(url).path or b"/")
