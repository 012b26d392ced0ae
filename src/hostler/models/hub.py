"""A Hugging Face hub, asked through its own client: what a repository holds, and where its files are.

The client is used for everything but the bytes: names, sizes and hashes, revisions, tokens from their usual places
(HF_TOKEN, `hf auth login`), HF_ENDPOINT. The bytes come by :mod:`hostler.models.download`, because the client
starts over after an interruption and refuses files above 50 GB without its own transfer service.
Blocking; import this module only where something is pulled.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from urllib.parse import unquote, urlsplit

import msgspec

from hostler.errors import DownloadFailed, InvalidRequest
from hostler.models.answers import refused, sane
from hostler.models.remote import RemoteModel, read_remote
from hostler.models.variants import RemoteFile, Variant

TIMEOUT_S = 30.0
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/(?:resolve|blob)/(?P<revision>[^/]+)/(?P<file>.+)")


class Reference(msgspec.Struct, frozen=True):
    """What a person asked for: a repository, and the variant or the file of it if he named one."""

    repo: str
    quant: str | None = None
    revision: str | None = None
    file: str | None = None


class Repository(msgspec.Struct, frozen=True):
    """A repository at one commit, so that all its files belong together."""

    name: str
    commit: str
    files: tuple[RemoteFile, ...]


def reference(text: str) -> Reference | None:
    """``ORG/REPO[:QUANT]``, or an address on the hub; None for an address elsewhere.

    Raises InvalidRequest for anything else.
    """
    if text.startswith(("http://", "https://")):
        return _by_address(text)
    repo, _, quant = text.removeprefix("hf.co/").removeprefix("hf:").partition(":")
    if not _REPOSITORY.fullmatch(repo):
        raise InvalidRequest(
            f"{text!r} is neither a repository nor an address.", hint="Write ORG/REPO, ORG/REPO:QUANT or https://..."
        )
    return Reference(repo, quant or None)


def _client() -> ModuleType:
    """The client, told to reach nobody but the hub."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_UPDATE_CHECK", "1")
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
    import huggingface_hub
    import huggingface_hub.constants
    import huggingface_hub.errors
    import huggingface_hub.utils

    return huggingface_hub


def _by_address(text: str) -> Reference | None:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - it is checked when it is asked for
    except ValueError as error:  # half an IPv6 address, a port of 99999
        raise InvalidRequest(f"The address leads nowhere: {error}.", hint="Correct the address.") from None
    own = {urlsplit(_client().constants.ENDPOINT).netloc, "huggingface.co", "hf.co"}
    if parts.netloc not in own:
        return None
    path = unquote(parts.path).rstrip("/")
    if found := _FILE.fullmatch(path):
        return Reference(found["repo"], revision=found["revision"], file=found["file"])
    repo = path.removeprefix("/").partition("/tree/")[0]
    return Reference(repo) if _REPOSITORY.fullmatch(repo) and not repo.lower().endswith(".gguf") else None


def look(asked: Reference) -> Repository:
    """What the repository holds. Raises DownloadFailed."""
    with _told(asked.repo):
        info = _client().HfApi().model_info(asked.repo, revision=asked.revision, files_metadata=True, timeout=TIMEOUT_S)
        files = tuple(
            RemoteFile(item.rfilename, item.size or 0, item.lfs.sha256 if item.lfs else None)
            for item in info.siblings or ()
            if _harmless(item.rfilename)
        )
        return Repository(asked.repo, info.sha or asked.revision or "main", files)


def address(repository: Repository, file: RemoteFile) -> str:
    """Where the file's bytes are; redirects may follow."""
    url: str = _client().hf_hub_url(repository.name, file.path, revision=repository.commit)
    return url


def headers() -> dict[str, str]:
    """What goes with every request: who asks, and the token if there is one. Never shown."""
    found: Mapping[str, str] = _client().utils.build_hf_headers(library_name="hostler")
    return dict(found)


async def read_header(repository: Repository, variant: Variant) -> RemoteModel:
    """What the headers of a variant's files say, by range requests. Raises DownloadFailed or ModelError."""
    return await read_remote(address(repository, variant.files[0]), headers())


def _harmless(path: str) -> bool:
    """No name that would lead out of the folder it is put in."""
    return not path.startswith("/") and not {"..", ""} & set(path.split("/")) and "\\" not in path and "\0" not in path


@contextmanager
def _told(repo: str) -> Iterator[None]:
    """Turns what the client raises into ours: which repository, what the hub said, what to do."""
    from httpx2 import HTTPError  # what the client is built on

    hub = _client()
    try:
        yield
    except hub.errors.GatedRepoError as error:
        raise DownloadFailed(f"{repo} is gated, and the hub does not let you in.", hint=refused(403).hint) from error
    except hub.errors.RevisionNotFoundError as error:
        raise DownloadFailed(f"{repo} has no such revision.", hint="Leave it out to take the newest.") from error
    except hub.errors.RepositoryNotFoundError as error:
        status = error.response.status_code
        told = f"has no such repository ({status})" if status == 404 else f"{refused(status)}"
        raise DownloadFailed(f"The hub {told}: {repo}.", hint=f"Correct the name. {refused(401).hint}") from error
    except hub.errors.HfHubHTTPError as error:
        lost = refused(error.response.status_code)
        raise DownloadFailed(f"The hub {lost} ({repo}).", hint=lost.hint) from error
    except hub.errors.HFValidationError as error:
        raise InvalidRequest(f"{repo} is not the name of a repository.", hint="Write ORG/REPO.") from error
    except (HTTPError, OSError) as error:
        raise DownloadFailed(
            f"The hub {sane(hub.constants.ENDPOINT)} cannot be reached: {str(error).partition(chr(10))[0]}.",
            hint="Check the connection; HF_ENDPOINT names another hub.",
        ) from error
    except ValueError as error:  # not JSON
        raise DownloadFailed(
            f"{sane(hub.constants.ENDPOINT)} did not answer as a Hugging Face hub does.",
            hint="Is there a login page or a proxy between? HF_ENDPOINT names another hub.",
        ) from error
