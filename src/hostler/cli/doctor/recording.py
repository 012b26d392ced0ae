"""What a running gateway cannot write: it serves on, so that nobody would notice otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from hostler.cli.doctor.findings import Finding, problem
from hostler.wire.management import ReadyReport

CHECK = "recording"
LOST = {
    "ledger": "Requests are served, and missing in `hostler usage`.",
    "audit": "What operators do is not recorded.",
    "log": "What happens is on the gateway's console alone.",
    "captures": "Captures are not kept.",
    "prompts": "Conversations are read anew after a switch.",
}


def check(url: str, state: Path) -> Iterator[Finding]:
    """What the gateway at ``url`` says; nothing when it cannot be asked."""
    for part, reason in unwritable(url).items():
        hint = f"Make room, or make {state} writable. {LOST.get(part, '')}".strip()
        yield problem(CHECK, f"The gateway cannot write its {part}: {reason}.", hint)


def unwritable(url: str) -> dict[str, str]:
    """What the gateway at ``url`` says that it cannot write; nothing when it does not answer."""
    parts = urlsplit(url)
    try:
        with closing(HTTPConnection(parts.hostname or "", parts.port or 0, timeout=5)) as asked:
            asked.request("GET", "/ready")
            return msgspec.json.decode(asked.getresponse().read(), type=ReadyReport).unwritable
    except (OSError, HTTPException, msgspec.MsgspecError):
        return {}
