"""The inference paths: what each one is called on the engine, and which profiles can serve it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from hostler.config.settings import Speaks, Task
from hostler.errors import NotFound, WrongTask
from hostler.fleet.protocol import Served
from hostler.gateway.asking.checks.reading import read
from hostler.gateway.asking.forms import peek_form
from hostler.gateway.asking.peek import Peek
from hostler.gateway.errors import Family
from hostler.gateway.relay.heads import JSON


class Route(msgspec.Struct, frozen=True):
    """One inference endpoint.

    ``api`` is its name in the ledger, ``target`` the path on the engine, ``tasks`` the profiles that can serve it
    (None: all of them), ``form`` whether its body is a form and not JSON, ``slotted`` whether the engine takes
    `id_slot` in it. ``named`` is what the ledger calls it where that is not ``api``.
    """

    api: str
    target: bytes
    tasks: frozenset[Task] | None
    family: Family = "openai"
    form: bool = False
    slotted: bool = False
    named: str = ""

    @property
    def name(self) -> str:
        """Its name in the ledger."""
        return self.named or self.api

    def peek(self, body: bytes, headers: Mapping[bytes, bytes]) -> Peek:
        """What the gateway must know of ``body``; raises InvalidRequest."""
        return peek_form(body, self.kind(headers)) if self.form else read(self.api, body)

    def kind(self, headers: Mapping[bytes, bytes]) -> bytes:
        """The Content-Type that the engine is told: a form's says where its parts end."""
        return headers.get(b"content-type", b"") if self.form else JSON

    def suits(self, served: Served) -> bool:
        """Whether ``served`` can do this."""
        if not self._spoken(served):
            return False
        if self.tasks is None or served.task in self.tasks:
            return True
        return self.api == "embeddings" and served.embeddings

    def check(self, served: Served) -> None:
        """Raise WrongTask, with the way out, when ``served`` cannot do this."""
        if self.suits(served):
            return
        if not self._spoken(served):
            if self.api == "count_tokens":
                raise NotFound(f"The remote of {served.name!r} cannot count tokens.", hint="Estimate them.")
            raise WrongTask(
                f"The remote of {served.name!r} has no {self.target.decode()}.",
                hint="Ask it at /v1/chat/completions, or name another profile (`hostler ls` shows them).",
            )
        raise WrongTask(
            f"The profile {served.name!r} does {served.task}, not {_PURPOSES.get(self.api, self.api)}.",
            hint=self._in_its_words(_way_out(self.api, served)),
        )

    def _in_its_words(self, hint: str) -> str:
        """``hint`` with the paths of the API that its client speaks."""
        ollamas = hint.replace("/v1/completions", "/api/generate").replace("/v1/embeddings", "/api/embed")
        return ollamas if self.named else hint

    def _spoken(self, served: Served) -> bool:
        return served.speaks is None or self.api in _SPOKEN[served.speaks]


#: What a remote has: its own API, and what is translated into it.
_SPOKEN: Final[dict[Speaks, frozenset[str]]] = {
    "openai": frozenset(
        {
            "chat",
            "completions",
            "embeddings",
            "messages",
            "rerank",
            "responses",
            "input_tokens",
            "transcriptions",
            "translations",
            "speech",
            "images",
            "image_edits",
        }
    ),
    "anthropic": frozenset({"messages", "count_tokens", "chat"}),
}
_PURPOSES: Final = {
    "chat": "chat",
    "messages": "chat",
    "responses": "chat",
    "completions": "text completion",
    "completion": "text completion",
    "embeddings": "embeddings",
    "rerank": "reranking",
    "transcriptions": "transcription",
    "translations": "transcription",
    "speech": "speech",
    "images": "images",
    "image_edits": "images",
}


def _way_out(api: str, served: Served) -> str:
    if served.task == "completion" and api in ("chat", "messages", "responses"):
        return (
            "Its model has no chat template: send a `prompt` to /v1/completions, or name a chat profile "
            "(`hostler ls` shows them)."
        )
    if api == "embeddings" and served.task == "chat":
        return f"Set `embeddings = true` in [profiles.{served.name}], or name an embedding profile."
    if served.task == "embedding":
        return "Send `input` to /v1/embeddings, or name another profile (`hostler ls` shows them)."
    if api in ("transcriptions", "translations", "speech", "images", "image_edits"):
        return (
            "Name a profile whose `task` says so; a program of yours runs it (`hostler ls` shows what each one does)."
        )
    return "Name another profile (`hostler ls` shows what each one does)."


_CHAT: Final = frozenset[Task]({"chat"})
_TEXT: Final = frozenset[Task]({"chat", "completion"})
_HEARING: Final = frozenset[Task]({"transcription"})

#: Their requests are read by `gateway/ollama/opening.py`, which says what the engine is asked.
_OLLAMA: Final = {
    b"/api/chat": Route("chat", b"/v1/chat/completions", _CHAT, "ollama", named="ollama_chat"),
    b"/api/generate": Route("completions", b"/v1/completions", _TEXT, "ollama", named="ollama_generate"),
    b"/api/embed": Route("embeddings", b"/v1/embeddings", frozenset({"embedding"}), "ollama", named="ollama_embed"),
    b"/api/embeddings": Route(
        "embeddings", b"/v1/embeddings", frozenset({"embedding"}), "ollama", named="ollama_embeddings"
    ),
}
_ROUTES: Final = {
    b"/v1/chat/completions": Route("chat", b"/v1/chat/completions", _CHAT, slotted=True),
    b"/v1/completions": Route("completions", b"/v1/completions", _TEXT, slotted=True),
    b"/v1/embeddings": Route("embeddings", b"/v1/embeddings", frozenset({"embedding"})),
    b"/v1/rerank": Route("rerank", b"/v1/rerank", frozenset({"rerank"})),
    b"/v1/reranking": Route("rerank", b"/v1/rerank", frozenset({"rerank"})),
    b"/v1/responses": Route("responses", b"/v1/responses", _CHAT, slotted=True),
    b"/v1/responses/input_tokens": Route("input_tokens", b"/v1/responses/input_tokens", _CHAT),
    b"/v1/messages": Route("messages", b"/v1/messages", _CHAT, "anthropic"),
    b"/v1/messages/count_tokens": Route("count_tokens", b"/v1/messages/count_tokens", _CHAT, "anthropic"),
    b"/v1/audio/transcriptions": Route("transcriptions", b"/v1/audio/transcriptions", _HEARING, form=True),
    b"/v1/audio/translations": Route("translations", b"/v1/audio/translations", _HEARING, form=True),
    b"/v1/audio/speech": Route("speech", b"/v1/audio/speech", frozenset({"speech"})),
    b"/v1/images/generations": Route("images", b"/v1/images/generations", frozenset({"image"})),
    b"/v1/images/edits": Route("image_edits", b"/v1/images/edits", frozenset({"image"}), form=True),
    b"/tokenize": Route("tokenize", b"/tokenize", None),
    b"/detokenize": Route("detokenize", b"/detokenize", None),
    b"/apply-template": Route("apply_template", b"/apply-template", _CHAT),
    b"/infill": Route("infill", b"/infill", _TEXT, slotted=True),
    b"/completion": Route("completion", b"/completion", _TEXT, slotted=True),
    **_OLLAMA,
}

#: Exact paths only. Clients whose base address lacks `/v1` reach the same endpoints.
INFERENCE: Final[dict[bytes, Route]] = _ROUTES | {
    path.removeprefix(b"/v1"): _ROUTES[path]
    for path in (b"/v1/chat/completions", b"/v1/completions", b"/v1/embeddings", b"/v1/rerank", b"/v1/reranking")
}
