"""Pictures that the profile's model cannot see, or that its engine would have to fetch."""

from __future__ import annotations

from typing import Final

from hostler.fleet.protocol import Served
from hostler.gateway.asking.checks.kinds import Checked, invalid
from hostler.gateway.asking.peek import Peek

#: Beginnings of addresses, as JSON text; what is inside a picture's data cannot be taken for one.
_ELSEWHERE: Final = (b'"http:', b'"https:', b'"file:', b'"ftp:')


def check_pictures(asked: Peek, served: Served) -> None:
    """Raise InvalidRequest for the first picture that an engine here cannot use. Programs and remotes say so themselves.

    llama.cpp fetches whatever address it is given, private ones included; so addresses end here.
    """
    if not served.counts or not isinstance(asked, Checked):
        return
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
