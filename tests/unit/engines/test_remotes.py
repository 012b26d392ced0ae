"""The driver of remotes: ready at once with its key, or a word on where the key should be."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator

import anyio
import msgspec
import pytest

from hostler.config.settings import EngineSettings, Profile
from hostler.engines.protocol import Endpoint, LoadSpec, Ready, Remote, Report
from hostler.engines.remote import Remotes, key_in_ring
from hostler.errors import RemoteKeyMissing
from hostler.fleet.profiles.programs import spec_of

pytestmark = pytest.mark.anyio
URL = "https://api.example.com/v1"


def spec(**engine: object) -> LoadSpec:
    settings = msgspec.convert({"kind": "remote", "url": URL, **engine}, EngineSettings)
    made, want = spec_of("cloud", Profile(model="big", engine=settings), None, {})
    assert want.need == made.bytes == {}
    return made


async def ready(remotes: Remotes, wanted: LoadSpec) -> Endpoint:
    """Where it is ready; it is stopped again."""
    told: list[Report] = []
    async with anyio.create_task_group() as group:

        def report(what: Report) -> None:
            told.append(what)
            group.cancel_scope.cancel()

        await remotes.preflight(wanted)
        await remotes.run(wanted, report)
    (only,) = told
    assert isinstance(only, Ready)
    return only.endpoint


async def test_it_is_ready_at_once_with_the_key_of_its_variable() -> None:
    endpoint = await ready(Remotes({"KEY": " k1\n"}), spec(key_env="KEY", speaks="anthropic"))
    remote = Remote(base="/v1", tls=True, speaks="anthropic", model="big", forward_key=False)
    assert endpoint == Endpoint("api.example.com", 443, "k1", remote)


async def test_keys_come_from_the_keyring() -> None:
    ring = {"mine": "k2"}
    assert (await ready(Remotes({}, ring.get), spec(key_ring="mine"))).api_key == "k2"


async def test_some_need_none() -> None:
    for engine in ({"key_env": "none"}, {"forward_key": True}, {}):
        assert (await ready(Remotes({}), spec(**engine))).api_key == ""


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ({"key_env": "KEY"}, "variable KEY, which is not set.*hostler up"),
        ({"key_env": "EMPTY"}, "variable EMPTY"),
        ({"key_env": "ODD"}, "characters that no key has"),
        ({"key_ring": "gone"}, "no key 'gone'.*keyring set hostler gone"),
    ],
)
async def test_a_key_that_is_not_there_is_told(engine: dict[str, object], said: str) -> None:
    remotes = Remotes({"EMPTY": " ", "ODD": "two words"}, {}.get)
    with pytest.raises(RemoteKeyMissing, match=said) as caught:
        await remotes.preflight(spec(**engine))
    assert "two words" not in str(caught.value)


async def test_nothing_is_asked_of_it() -> None:
    remotes = Remotes({})
    endpoint = await ready(remotes, spec())
    assert await remotes.slots_busy(endpoint) is None
    assert await remotes.progress(endpoint) is None
    assert await remotes.probe(endpoint, "chat") is None
    assert remotes.resident_bytes(1, spec()) is None


def test_without_its_package_the_keyring_says_what_to_install() -> None:
    assert "keyring" not in sys.modules
    with pytest.raises(RemoteKeyMissing, match=r"hostler\[keyring\]"):
        key_in_ring("mine")


class KeyringError(Exception):
    """As the package names it."""


@pytest.fixture
def ring() -> Iterator[types.ModuleType]:
    """The package, with what the driver uses of it."""
    package, errors = types.ModuleType("keyring"), types.ModuleType("keyring.errors")
    errors.KeyringError = KeyringError  # type: ignore[attr-defined]
    sys.modules |= {"keyring": package, "keyring.errors": errors}
    yield package
    del sys.modules["keyring"], sys.modules["keyring.errors"]


def test_it_is_asked_for_a_name_under_our_service(ring: types.ModuleType) -> None:
    ring.get_password = lambda service, name: f"{service} {name}"  # type: ignore[attr-defined]
    assert key_in_ring("mine") == "hostler mine"


def test_a_keyring_that_is_locked_is_told(ring: types.ModuleType) -> None:
    def locked(service: str, name: str) -> str | None:
        raise KeyringError("locked")

    ring.get_password = locked  # type: ignore[attr-defined]
    with pytest.raises(RemoteKeyMissing, match="cannot be read"):
        key_in_ring("mine")
