"""A key that is held to some profiles reaches no other, by whatever name and path."""

from __future__ import annotations

import msgspec
import pytest
from gateway_fakes import FakeCatalogue, Gateway, served

from hostler.accounts.keys import Bounds, Keyring
from hostler.config.settings import Profile
from hostler.fleet.protocol import Entry, Needs, Served
from hostler.gateway.routes import INFERENCE

pytestmark = pytest.mark.anyio

CHAT = {"messages": [{"role": "user", "content": "Hi"}]}


class Autos(FakeCatalogue):
    """`best` stands for two profiles; `alias` means the second of them."""

    def __init__(self) -> None:
        super().__init__()
        self.served |= {"big": served("big", "chat"), "small": served("small", "chat")}

    def resolve(self, name: str | None) -> Served:
        if name == "alias":
            return self.served["small"]
        if name != "best":
            return super().resolve(name)

        def choose(needs: Needs) -> tuple[Served, ...]:
            both = (self.served["big"], self.served["small"])
            return tuple(one for one in both if needs.suits(one)) or both

        return Served(**{n: getattr(self.served["big"], n) for n in Served.__struct_fields__} | {"choose": choose})


@pytest.fixture
def guest(gateway: Gateway, keys: Keyring) -> str:
    """The header line of a key for the profiles whose names begin with `sm`."""
    catalogue = Autos()
    gateway.catalogue.served = catalogue.served
    gateway.catalogue.resolve = catalogue.resolve  # type: ignore[method-assign]
    return f"x-api-key: {keys.add('guest', 'inference', Bounds(profiles=('sm*',)))}\r\n"


@pytest.mark.parametrize("path", [path.decode() for path in INFERENCE if b"audio" not in path and b"edits" not in path])
async def test_no_inference_path_leads_elsewhere(gateway: Gateway, guest: str, path: str) -> None:
    answer = await gateway.ask({"model": "tiny", **CHAT}, path, guest)
    assert answer.status == 404
    error = answer.json()["error"]
    message = error if isinstance(error, str) else error["message"]
    assert "tiny" not in message.replace("'tiny'", "")
    assert "nearest" not in message
    assert gateway.engine.heard == []


@pytest.mark.parametrize("name", ["small", "alias", "best"])
async def test_what_it_may_use_answers_by_every_name(gateway: Gateway, guest: str, name: str) -> None:
    answer = await gateway.ask({"model": name, **CHAT}, headers=guest)
    assert (answer.status, answer.headers["x-hostler-profile"]) == (200, "small")
    assert gateway.row.profile == "small"


@pytest.mark.parametrize("body", [{"model": "nothing", **CHAT}, {"model": "big", **CHAT}, CHAT])
async def test_what_it_may_not_use_is_as_what_does_not_exist(gateway: Gateway, guest: str, body: object) -> None:
    answer = await gateway.ask(body, headers=guest)
    assert (answer.status, answer.json()["error"]["code"]) == (404, "model_not_found")


async def test_lists_hold_what_it_may_use(gateway: Gateway, guest: str, keys: Keyring) -> None:
    client = await gateway.client()
    listed = (await client.get("/v1/models", guest)).json()["data"]
    assert [each["id"] for each in listed] == ["small"]
    assert (await client.get("/v1/models/small", guest)).status == 200
    assert (await client.get("/v1/models/tiny", guest)).status == 404
    everything = f"x-api-key: {keys.add('all', 'inference')}\r\n"
    assert len((await client.get("/v1/models", everything)).json()["data"]) == 4


async def test_an_auto_name_says_nothing_of_what_it_may_not_use(gateway: Gateway, guest: str) -> None:
    class Listed(Autos):
        def entries(self) -> list[Entry]:
            said = Profile(model="big, small", description="Both: the first of big, small", group="auto")
            (one, *_) = super().entries()
            return [msgspec.structs.replace(one, name="best", origin="auto", profile=said)]

    gateway.catalogue.entries = Listed().entries  # type: ignore[method-assign]
    listed = (await (await gateway.client()).get("/v1/models", guest)).json()["data"]
    assert [each["hostler"]["description"] for each in listed] == ["Both: the first of small"]
    assert b"big" not in (await (await gateway.client()).get("/api/tags", guest)).body


async def test_a_key_that_may_use_none_of_them_does_not_know_the_auto_name(gateway: Gateway, keys: Keyring) -> None:
    catalogue = Autos()
    gateway.catalogue.resolve = catalogue.resolve  # type: ignore[method-assign]
    other = f"x-api-key: {keys.add('other', 'inference', Bounds(profiles=('vec',)))}\r\n"
    assert (await gateway.ask({"model": "best", **CHAT}, headers=other)).status == 404
