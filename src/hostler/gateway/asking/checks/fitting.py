"""What a body asks of its profile that it cannot have: a check once that profile is known."""

from __future__ import annotations

import re
from typing import Final

from hostler.errors import InvalidRequest
from hostler.fleet.protocol import Served
from hostler.gateway.asking.checks.kinds import Checked, Picture, invalid, unescaped
from hostler.gateway.asking.elsewhere import Elsewhere
from hostler.gateway.asking.peek import Peek

#: Beginnings of addresses, as JSON text; what is inside a picture's data cannot be taken for one.
_ELSEWHERE: Final = (b'"http:', b'"https:', b'"file:', b'"ftp:')
_INLINE: Final = re.compile(rb'"data:image/(?:png|jpe?g|gif|webp|bmp);base64,', re.IGNORECASE)


def check_for(served: Served, asked: Peek) -> None:
    """Raise InvalidRequest for what is missing, or wrong in itself, and for a picture that cannot be used here.

    Engines fetch whatever address they are given, private ones included; so addresses end here, and are an `Elsewhere`
    where they may be fetched. What else programs and remotes take they say themselves.
    """
    if not isinstance(asked, Checked) or served.speaks is not None:
        return
    if served.counts:
        asked.check()
    links = []
    for picture in asked.pictures():
        if picture.other:
            raise invalid(
                picture.path,
                f"`{picture.path}` is an address; nothing but pictures is ever fetched here.",
                hint="Send sounds and videos themselves, as data.",
            )
        if served.counts and "images" not in served.abilities:
            raise invalid(
                picture.path,
                f"`{picture.path}` is a picture, and the model of {served.name!r} cannot see.",
                hint="Name a profile whose model can (`hostler ls` shows abilities), or leave it out.",
            )
        if unescaped(picture.url).lower().startswith(_ELSEWHERE):
            links.append(picture)
        elif served.counts and picture.url and _INLINE.match(picture.url[:64].replace(b"\\/", b"/")) is None:
            raise invalid(
                picture.path,
                f"`{picture.path}` is no picture that can be read here.",
                hint="Send PNG, JPEG, GIF, WebP or BMP as `data:image/png;base64,...`.",
            )
    if links:
        raise _elsewhere(links, served)


def _elsewhere(links: list[Picture], served: Served) -> InvalidRequest:
    if served.remote_images:
        return Elsewhere(links)
    path = links[0].path
    return invalid(
        path,
        f"`{path}` is an address; nothing is fetched here.",
        hint="Send the picture itself, as `data:image/png;base64,...`, or set `remote_images = true`.",
    )
