"""Names for the shell's completion: quick, and silent whatever goes wrong."""

from __future__ import annotations

import os
from pathlib import Path

# A shell that waits for completion feels broken; past this the configuration's names must do.
ANSWER_S = 0.5


def complete_profile(incomplete: str) -> list[str]:
    """Profile names that begin with ``incomplete``: the running gateway's, else the configuration's."""
    names = _from_gateway() or _from_config()
    return sorted(name for name in names if name.startswith(incomplete))


def complete_machine(incomplete: str) -> list[str]:
    """Machines that come with Hostler and begin with ``incomplete``."""
    from hostler.hardware.machines import names

    return [name for name in names() if name.startswith(incomplete)]


def _from_gateway() -> list[str]:
    """Names from the gateway that this home's record or HOSTLER_URL points to; none when none runs."""
    import http.client
    from contextlib import closing
    from urllib.parse import urlsplit

    import msgspec

    from hostler.cli.whereabouts import find_gateway
    from hostler.errors import HostlerError
    from hostler.wire.management import ProfileInfo

    key = os.environ.get("HOSTLER_KEY")
    try:
        address = urlsplit(find_gateway(None, None).url)
        # http.client costs a tenth of httpx to import, and here every key press pays for it.
        kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        with closing(kind(address.hostname or "127.0.0.1", address.port, timeout=ANSWER_S)) as connection:
            connection.request("GET", "/api/profiles", headers={"authorization": f"Bearer {key}"} if key else {})
            found = msgspec.json.decode(connection.getresponse().read(), type=list[ProfileInfo])
    except (OSError, ValueError, http.client.HTTPException, msgspec.DecodeError, HostlerError):
        return []
    return [name for profile in found if not profile.hidden for name in (profile.name, *profile.aliases)]


def _from_config() -> list[str]:
    """Names in the configuration file, read without judging it."""
    import tomllib

    from hostler.cli.whereabouts import config_file

    try:
        with Path(config_file(None)).open("rb") as file:
            profiles = tomllib.load(file).get("profiles", {})
    except (OSError, ValueError):
        return []
    return list(profiles) if isinstance(profiles, dict) else []
