"""`hostler conformance`: the API's promises, and a storm of requests, on a gateway that runs or on one of its own."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated, Literal

import typer

from hostler.cli.command import Session, command
from hostler.cli.completion import complete_profile
from hostler.errors import InvalidRequest

Profiles = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PROFILE]...", help="What to ask; default: what is loaded, else the default profile.",
        autocompletion=complete_profile, show_default=False,
    ),
]  # fmt: skip
StartOption = Annotated[
    bool, typer.Option("--start", help="Start a gateway with four fake engines and a budget for two, and try that.")
]
OnlyOption = Annotated[
    Literal["checks", "storm"] | None, typer.Option("--only", help="One of the two parts.", show_default=False)
]
ClientsOption = Annotated[int, typer.Option("--clients", "-c", min=1, max=1000, help="Clients at once.")]
RequestsOption = Annotated[int, typer.Option("--requests", "-n", min=1, help="Requests in all.")]
CancelsOption = Annotated[
    float, typer.Option("--cancels", min=0.0, max=1.0, help="Share of requests that are left or cancelled early.")
]
TokensOption = Annotated[int, typer.Option("--tokens", min=1, help="Longest answer.")]
SeedOption = Annotated[
    int | None, typer.Option("--seed", help="Draws the same requests again; default: a new one.", show_default=False)
]
DisruptiveOption = Annotated[
    bool, typer.Option("--disruptive", help="Kill engines and reload the configuration meanwhile; --start does too.")
]
PatienceOption = Annotated[float, typer.Option("--patience", min=1.0, help="Seconds after which a request is lost.")]
LogOption = Annotated[
    Path | None, typer.Option("--log", metavar="FILE", help="Write each request's fate, as lines of JSON.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        app,
        "conformance",
        "hostler conformance --start             anywhere, without a model",
        "hostler conformance                     the gateway that runs, with what is loaded",
        "hostler conformance coder chat -n 1000  two profiles, 1000 requests",
        "hostler conformance --url http://127.0.0.1:8080 --only checks    another server",
    )(conformance)


async def conformance(
    session: Session,
    profiles: Profiles = None,
    start: StartOption = False,
    only: OnlyOption = None,
    clients: ClientsOption = 8,
    requests: RequestsOption = 200,
    cancels: CancelsOption = 0.2,
    tokens: TokensOption = 16,
    seed: SeedOption = None,
    disruptive: DisruptiveOption = False,
    patience: PatienceOption = 300.0,
    log: LogOption = None,
) -> int:
    """Check a gateway's promises, and every fate in a storm.

    First the API's promises; then many clients ask, leave and are cancelled at random. Every request must have one
    fate: answered whole, refused with an error that says why, or left by its client. Of a gateway of ours it is also
    seen that no load is made twice, no budget exceeded and nobody forgotten. Any other server with the OpenAI API can
    be tried as far as its clients can see. Ends with 1 when a promise was broken.
    """
    from hostler.cli.conforming import Wanted, tried
    from hostler.conformance.asks import Weather

    if start and (profiles or session.url):
        raise InvalidRequest("--start tries a gateway of its own.", hint="Leave out the profiles and --url.")
    weather = Weather(
        subjects=(), seed=secrets.randbits(32) if seed is None else seed, clients=clients, requests=requests,
        cancels=cancels, tokens=tokens,
    )  # fmt: skip
    wanted = Wanted(
        profiles=tuple(profiles or ()), weather=weather, checks=only != "storm", storm=only != "checks",
        start=start, disruptive=disruptive, patience_s=patience, log=log,
    )  # fmt: skip
    return await tried(session, wanted)
