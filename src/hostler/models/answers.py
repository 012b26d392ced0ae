"""What a download server's answers mean, in words for the user."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    import httpx

_AGAIN = "Run the same command again: it goes on where it stopped."
_ALLOWED = (
    "Set HF_TOKEN to a token that may read it (`hf auth login` keeps one), and accept the model's terms on its page."
)
_TEXT = ("text/html", "application/xhtml")


class Lost(Exception):
    """A try that did not bring the rest. ``final``: another one would end the same way."""

    def __init__(self, why: str, *, final: bool = False, hint: str = _AGAIN, wait_s: float | None = None) -> None:
        super().__init__(why)
        self.final = final
        self.hint = hint
        self.wait_s = wait_s


def checked(answer: httpx.Response) -> None:
    """Raises Lost unless the answer carries (a part of) the file, or says that there is no more (416)."""
    status = answer.status_code
    if status in (200, 206):
        if answer.headers.get("content-type", "").startswith(_TEXT):
            raise Lost("answered with a web page instead of the file", final=True, hint="Correct the address.")
        return
    if status != 416:
        raise refused(status, retried_after(answer.headers.get("retry-after", "")))


def refused(status: int, wait_s: float | None = None) -> Lost:
    """What a status other than success means, and whether to try again."""
    match status:
        case 401:
            return Lost("wants a token, or knows no such model (401)", final=True, hint=_ALLOWED)
        case 403:
            return Lost("does not let this token in (403)", final=True, hint=_ALLOWED)
        case 404 | 410:
            return Lost(f"has no such file ({status})", final=True, hint="Correct the name.")
        case 429:
            return Lost("asks to come back later (429: too many requests)", wait_s=wait_s)
        case 408 | 500 | 502 | 503 | 504:
            return Lost(f"failed ({status})", wait_s=wait_s, hint=f"The server has a problem. {_AGAIN}")
    return Lost(f"answered with {status}", final=True, hint="Correct the address.")


def refused_connection(error: BaseException) -> bool:
    """Whether nobody listens at the address, however deep the client has wrapped that."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ConnectionRefusedError):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


def retried_after(text: str) -> float | None:
    """``Retry-After`` in seconds; None when it is absent or a date."""
    return float(text) if text.strip().isdigit() else None


def sane(url: str) -> str:
    """``url`` without what may be secret in it: user, password, query, fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
