"""What a body asks of its profile that it cannot have: a check once that profile is known."""

from __future__ import annotations

from typing import Final

from hostler.fleet.protocol import Served
from hostler.gateway.asking.checks.kinds import Checked, invalid
from hostler.gateway.asking.peek import Peek

#: Beginnings of addresses, as JSON text; what is inside a picture's data cannot be taken for one.
_ELSEWHERE: Final = (b'"http:', b'"https:', b'"file:', b'"ftp:')


def check_for(served: Served, asked: Peek) -> None:
    """Raise InvalidRequest for what is missing, or wrong in itself, and for a picture that llama.cpp cannot use here.

    It fetches whatever address it is given, private ones included; so addresses end here. Programs and remotes say
    themselves what they take.
    """
    if not isinstance(asked, Checked) or not served.counts or served.speaks is not None:
        return
    asked.check()
    for picture in asked.pictures():
        if "images" not in served.abilities:
            raise invalid(
                picture.path,
                f"`{picture.path}` is a picture, and the model of {served.name!r} cannot see.",
                hint="Name a profile whose model can (`hostler ls` shows abilities), or leave it out.",
            )
        if picture.url.lower().startswith(_ELSEWHERE):
            raise invalid(
                picture.path,
                f"`{picture.path}` is an address; nothing is fetched here.",
                hint="Send the picture itself, as `data:image/png;base64,...`.",
            )
