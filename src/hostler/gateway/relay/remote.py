"""A request to a remote, and its answer: its own head and key, its API, and what its errors mean here.

A remote's refusals (its key, its limits, its own failures) become errors of ours before anything of them reaches the
client, so that another profile can be asked. What is wrong with the request itself goes to the client as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from hostler import __version__
from hostler.accounts.keys import LOCAL
from hostler.engines.protocol import Endpoint, Remote
from hostler.errors import (
    CredentialMissing,
    EngineLost,
    EngineSilent,
    HostlerError,
    RemoteBusy,
    RemoteFailed,
    RemoteRefused,
    RemoteUnreachable,
)
from hostler.gateway.answering.translating import LARGEST, Translating
from hostler.gateway.relay.http1 import Head
from hostler.gateway.relay.upstream import Receiver
from hostler.gateway.routes import Route
from hostler.gateway.translate.chat_by_messages.translation import ChatByMessages
from hostler.gateway.translate.messages_by_chat.translation import MessagesByChat
from hostler.gateway.translate.protocol import Translation

#: Where an API of ours is another one there.
TRANSLATIONS: Final[Mapping[tuple[str, str], Callable[[str, int], Translation]]] = {
    ("anthropic", "chat"): ChatByMessages,
    ("openai", "messages"): MessagesByChat,
}
VERSION: Final = b"2023-06-01"

_AGENT: Final = b"hostler/" + __version__.encode()
#: Of a remote's head the client gets what says how to read the body, and when to come again. All else (cookies, the
#: name of an account, limits of it) is between the remote and us.
_KEPT: Final = frozenset({b"content-type", b"content-encoding", b"cache-control", b"retry-after", b"x-should-retry"})
_OWN_KEYS: Final = b"hostler-"
#: Whose answers are never JSON, or not always.
_FREE_FORM: Final = frozenset({"speech", "transcriptions", "translations"})
_SECONDS: Final = re.compile(rb"\d{1,9}(?:\.\d{1,9})?")


class RemoteRequest(msgspec.Struct, frozen=True):
    """What is asked: the body (with the remote's name for its model), the client's header lines, whose key it had."""

    route: Route
    body: bytes
    headers: Mapping[bytes, bytes]
    principal: str


class RemoteCall:
    """One request to a remote: ``lines`` are its bytes, and it is the sink of its answer.

    ``now`` is seconds since the Unix epoch. Raises CredentialMissing, and InvalidRequest for what the remote's API
    cannot say.
    """

    __slots__ = (
        "_body", "_endpoint", "_forwarded", "_head", "_json", "_now", "_receiver", "_size", "lines",
    )  # fmt: skip

    def __init__(self, endpoint: Endpoint, asked: RemoteRequest, receiver: Receiver, now: float) -> None:
        remote = endpoint.remote
        assert remote is not None
        made = TRANSLATIONS.get((remote.speaks, asked.route.api))
        translation = None if made is None else made(remote.model, int(now))
        self._endpoint = endpoint
        self._forwarded = remote.forward_key
        self._json = asked.route.api not in _FREE_FORM
        self._now = now
        self._receiver = receiver if translation is None else Translating(receiver, translation, endpoint.host)
        self._head: Head | None = None  # of a refusal
        self._body: list[bytes] = []
        self._size = 0
        self.lines = _lines(endpoint, remote, asked, translation)

    # What the remote's connection calls.

    def on_head(self, head: Head, *, alone: bool) -> None:
        refused = _is_refusal(head.status, forwarded=self._forwarded)
        if self._json and head.status == 200 and not _is_answer(head):
            self._receiver.on_refused(_no_api(head, self._host), whole=False)
            return
        if refused:
            self._head = head
        else:
            self._receiver.on_head(_kept(head), alone=alone)

    def on_data(self, data: bytes) -> None:
        if self._head is None:
            self._receiver.on_data(data)
            return
        self._size += len(data)
        self._body.append(data)
        if self._size > LARGEST:
            self._receiver.on_refused(RemoteFailed(f"{self._host} gave an answer over {LARGEST} bytes."), whole=False)

    def on_end(self) -> None:
        if self._head is None:
            self._receiver.on_end()
        else:
            refusal = _refusal(self._head, b"".join(self._body), self._endpoint, self._now)
            self._receiver.on_refused(refusal, whole=True)

    def on_lost(self, error: EngineLost, *, stale: bool) -> None:
        if not stale and not isinstance(error, EngineSilent):
            error = RemoteUnreachable(
                error.message.replace("The engine", self._host).replace("the engine", "the remote")
            )
        self._receiver.on_lost(error, stale=stale)

    def on_stalled(self) -> None:
        self._receiver.on_stalled()

    # Inside.

    @property
    def _host(self) -> str:
        return self._endpoint.host


# --- the request --------------------------------------------------------------------------------------


def _lines(endpoint: Endpoint, remote: Remote, asked: RemoteRequest, translation: Translation | None) -> bytes:
    """The whole request: nothing of the client's head but its credential, where that is forwarded."""
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    if endpoint.port != (443 if remote.tls else 80):
        host += f":{endpoint.port}"
    path = asked.route.target.removeprefix(b"/v1") if translation is None else translation.path
    body = asked.body if translation is None else translation.request(asked.body)
    fields = [(b"host", host.encode()), *_auth(endpoint, remote, asked), *_version(remote, asked)]
    kind = asked.route.kind(asked.headers)
    fields += [(b"user-agent", _AGENT), (b"accept-encoding", b"identity"), (b"content-type", kind)]
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    return b"POST %b%b HTTP/1.1\r\n%bcontent-length: %d\r\n\r\n%b" % (
        remote.base.encode(), path, lines, len(body), body,
    )  # fmt: skip


def _auth(endpoint: Endpoint, remote: Remote, asked: RemoteRequest) -> list[tuple[bytes, bytes]]:
    if remote.forward_key:
        return [_credential(asked, remote.speaks)]
    if not endpoint.api_key:
        return []
    key = endpoint.api_key.encode()
    return [(b"x-api-key", key) if remote.speaks == "anthropic" else (b"authorization", b"Bearer " + key)]


def _version(remote: Remote, asked: RemoteRequest) -> list[tuple[bytes, bytes]]:
    """Which messages API is spoken: the client's, where it speaks that itself."""
    if remote.speaks != "anthropic":
        return []
    said = asked.headers if asked.route.api != "chat" else {}
    version = [(b"anthropic-version", said.get(b"anthropic-version", VERSION))]
    return version + [(name, said[name]) for name in (b"anthropic-beta",) if name in said]


def _credential(asked: RemoteRequest, speaks: str) -> tuple[bytes, bytes]:
    """The header line with the client's own credential. Raises CredentialMissing.

    Where this gateway has keys, the one in `Authorization` is ours, so that only an `x-api-key` beside it can be the
    client's own. A key of ours is never forwarded.
    """
    said = asked.headers.get(b"authorization", b"")
    bearer = said[7:].strip() if said[:7].lower() == b"bearer " else b""
    other = asked.headers.get(b"x-api-key", b"")
    if asked.principal != LOCAL.name:
        bearer, other = b"", other if bearer and other != bearer else b""
    token = bearer or other
    if not token or token.startswith(_OWN_KEYS):
        raise CredentialMissing("This profile sends your own key to its remote, and none came with the request.")
    if speaks == "anthropic" and (not bearer or asked.route.api == "chat"):
        return b"x-api-key", token
    return b"authorization", b"Bearer " + token


# --- the answer ---------------------------------------------------------------------------------------


class _Complaint(msgspec.Struct):
    message: str = ""


class _Problem(msgspec.Struct):
    """Both APIs tell errors in this form."""

    error: _Complaint


_problem = msgspec.json.Decoder(_Problem)


def _kept(head: Head) -> Head:
    return Head(head.status, [field for field in head.fields if field[0] in _KEPT], head.length)


def _is_refusal(status: int, *, forwarded: bool) -> bool:
    """Whether an answer is about the remote and us, not about the request. A client's own key is its own matter."""
    if status in (401, 402, 403):
        return not forwarded
    return 300 <= status < 400 or status in (404, 408, 429) or status >= 500


def _is_answer(head: Head) -> bool:
    """Whether JSON or events come; some servers do not say what they send."""
    kind = head.get(b"content-type").split(b";")[0].strip().lower()
    return head.length != 0 and (not kind or kind == b"text/event-stream" or kind.endswith(b"json"))


def _no_api(head: Head, host: str) -> RemoteFailed:
    kind = head.get(b"content-type").decode("latin-1")[:80]
    what = "nothing" if head.length == 0 else f"{kind}, not JSON"
    return RemoteFailed(f"{host} answered with {what}.", hint="Correct `url` in the profile: no API is there.")


def _refusal(head: Head, body: bytes, endpoint: Endpoint, now: float) -> HostlerError:
    """What it means here. The remote's own words are in it, but never a key."""
    status, host, said = head.status, endpoint.host, _words(body, endpoint.api_key)
    retry_after_s = _retry_after_s(head.get(b"retry-after"), now)
    if status in (429, 503, 529):
        return RemoteBusy(f"{host} takes no more now ({status}){said}.", retry_after_s=retry_after_s)
    if status in (401, 402, 403):
        return RemoteRefused(f"{host} does not accept the key of this profile ({status}){said}.")
    if status == 404:
        return RemoteRefused(
            f"{host} knows no such model or path (404){said}.", hint="Correct `model` or `url` in the profile."
        )
    if status < 400:
        return RemoteRefused(f"{host} sends elsewhere ({status}).", hint="Correct `url` in the profile.")
    return RemoteFailed(f"{host} failed ({status}){said}.", retry_after_s=retry_after_s)


def _retry_after_s(said: bytes, now: float) -> float | None:
    """Seconds; the header may also have a date."""
    if _SECONDS.fullmatch(said):
        return float(said)
    try:
        return max(0.0, parsedate_to_datetime(said.decode("latin-1")).timestamp() - now) if said else None
    except (ValueError, OverflowError):
        return None


def _words(body: bytes, key: str) -> str:
    """The message of an error as the end of a sentence; nothing when it has none."""
    try:
        said = " ".join(_problem.decode(body).error.message.split())
    except msgspec.MsgspecError:
        return ""
    said = (said.replace(key, "...") if key else said)[:300].rstrip(". ")  # a key that is cut is none to look for
    return f": {said}" if said else ""
