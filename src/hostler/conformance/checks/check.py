"""What a check is, and what all of them work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

import msgspec

from hostler.client.gateway import Client
from hostler.conformance.asks import PATHS, Subject
from hostler.conformance.fates import Malformed, Refused, refusal
from hostler.conformance.server import Server
from hostler.testing import http

WITHIN_S = 120.0


class Failed(Exception):
    """The server does not do what the check is about; the text says what it did."""


class NotHere(Exception):
    """The check says nothing about this server; the text says why."""


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """The server under test and the profile to ask; ``client`` is None when it is not a gateway of ours."""

    server: Server
    subject: Subject
    client: Client | None = None

    @property
    def gateway(self) -> Client:
        """The management API. Raises NotHere."""
        if self.client is None:
            raise NotHere("only a gateway of this kind has it")
        return self.client

    @property
    def path(self) -> str:
        """Where the subject is asked."""
        return PATHS[self.subject.api]

    def body(self, text: str = "One, two,", **fields: object) -> dict[str, object]:
        """A question to the subject."""
        asked: dict[str, object] = {"model": self.subject.name}
        chat = self.subject.api == "chat"
        asked |= {"messages": [{"role": "user", "content": text}]} if chat else {"prompt": text}
        return asked | fields

    async def ask(self, body: http.Body, headers: Mapping[str, str] | None = None) -> http.Response:
        """One whole answer."""
        return await self.server.request("POST", self.path, body, headers, within_s=WITHIN_S)


Outcome = Literal["ok", "failed", "skipped"]


class Check(msgspec.Struct, frozen=True):
    """A named check: ``what`` should be so. ``run`` returns what it saw, or raises Failed or NotHere."""

    name: str
    what: str
    run: Callable[[Tried], Awaitable[str]]


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one check."""

    name: str
    what: str
    outcome: Outcome
    told: str


async def checked(check: Check, tried: Tried) -> Checked:
    """Run it; whatever goes wrong on the way is a failed check."""
    outcome: Outcome = "ok"
    try:
        told = await check.run(tried)
    except NotHere as why:
        outcome, told = "skipped", str(why)
    except TimeoutError:
        outcome, told = "failed", "no answer in time"
    except (Failed, Malformed, http.Broken, OSError, msgspec.MsgspecError, ValueError) as error:
        outcome, told = "failed", str(error)
    return Checked(name=check.name, what=check.what, outcome=outcome, told=told)


def expect(condition: bool, told: str) -> None:
    """Raise Failed with ``told`` unless the condition holds."""
    if not condition:
        raise Failed(told)


def refused(answer: http.Response, *statuses: int) -> Refused:
    """The error of an answer that has to be one. Raises Failed or Malformed."""
    expect(answer.status in statuses, f"answered with {answer.status}, expected {' or '.join(map(str, statuses))}")
    expect(
        answer.headers.get("content-type", "").startswith("application/json"), "an error that is not JSON by its type"
    )
    return refusal(answer)
