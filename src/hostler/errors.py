"""The error tree: everything Hostler tells a user when something cannot be done.

::

    HostlerError
    ├── ConfigError                  the file, the environment or a flag is wrong
    ├── RequestError                 the client must change its request
    │   ├── InvalidRequest           malformed JSON, wrong type, bad UTF-8
    │   ├── BodyTooLarge             over the body limit
    │   ├── UnknownProfile           no profile of that name
    │   ├── WrongTask                the profile cannot do that (chat to a base model)
    │   ├── NotFound                 no such path, instance or request
    │   ├── MethodNotAllowed         the path takes other methods
    │   ├── RequestCancelled         an operator cancelled the request
    │   ├── Conflict                 already so, or busy
    │   ├── Unauthorized             no key, or a wrong one
    │   │   └── CredentialMissing    the profile forwards the client's own key, and there is none
    │   ├── Forbidden                the key lacks the scope
    │   └── TooManyRequests          this key, or this address, asks too often
    ├── ModelError                   the weights on disk are missing or broken
    │   └── DownloadFailed           a model could not be fetched
    ├── EngineError                  an engine did not do what it should
    │   ├── FlagConflict             a passed flag contradicts one that Hostler sets
    │   ├── FlagUnsupported          this build cannot take that flag
    │   ├── BuildUnusable            the named build cannot run on this machine
    │   ├── BuildFailed              llama.cpp could not be built here
    │   ├── LoadFailed               the engine ended or refused while loading
    │   │   ├── KilledBySignal       it died by a signal while loading
    │   │   ├── OutOfMemory          it could not get its memory
    │   │   └── LoadTimeout          it was not ready in time
    │   ├── RemoteKeyMissing         the key of a remote is not where its profile says
    │   ├── RemoteRefused            a remote does not take our key, or does not know its model
    │   ├── RemoteFailed             a remote failed by itself, or speaks another API
    │   └── EngineLost               it ended, or the connection broke, during a request
    │       ├── EngineSilent         it said nothing for longer than its bound
    │       └── RemoteUnreachable    a remote cannot be connected to, or broke off
    ├── CapacityError                not now: too little room, too many waiting
    │   ├── NeverFits                more than the whole budget
    │   ├── QueueFull                the queue is at its bound
    │   ├── QueueTimeout             waited longer than ``queue_timeout_s``
    │   ├── RemoteBusy               a remote has reached a limit, or is overloaded
    │   └── Draining                 the gateway is stopping
    ├── HomeError                    the state folder or the port cannot be had
    │   ├── HomeLocked               another gateway holds this state folder
    │   └── PortInUse                something else listens there
    └── NoGateway                    a client found no gateway to talk to

Two kinds of failure exist: these, shown to the user in one sentence with what to do next, and bugs,
which are any other exception and keep their traceback. Nothing here knows about HTTP: statuses and
envelopes are mapped in :mod:`hostler.gateway.errors`.
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

Source = Literal["gateway", "engine"]


class Shortage(NamedTuple):
    """Memory that an engine could not get.

    ``device`` is the engine's name for it (``CUDA0``; ``host``), "" when it did not say; ``wanted`` the bytes that it
    asked for at once, 0 when it did not say.
    """

    device: str
    wanted: int


class HostlerError(Exception):
    """Something a user can act on.

    ``code`` is stable and machine-readable. ``message`` is one sentence of what happened, text even where the name of a
    file is none; ``hint`` says what to do next. ``source`` says who spoke: the gateway or the engine behind it.
    ``retry_after_s``, when not None, is when trying again makes sense. ``cause`` is the id of the class of failure
    (:mod:`hostler.engines.failures.causes`), "" where there is none, and ``evidence`` what showed it.
    """

    code: ClassVar[str] = "error"
    default_hint: ClassVar[str] = "Run `hostler doctor` and read what it finds."
    default_retry_s: ClassVar[float | None] = None
    source: ClassVar[Source] = "gateway"
    cause: str = ""
    evidence: str = ""
    param: str | None = None  # the path of the field that is wrong

    def __init__(self, message: str, *, hint: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message.encode("utf-8", "backslashreplace").decode()
        self.hint = self.default_hint if hint is None else hint
        self.retry_after_s = self.default_retry_s if retry_after_s is None else retry_after_s

    def __str__(self) -> str:
        stop = "" if not self.hint or self.message.endswith((".", "?", "!", ":")) else "."
        return f"{self.message}{stop} {self.hint}".strip()


class ConfigError(HostlerError):
    """The configuration is wrong; the message names file, line and key, and holds each line of ``problems``."""

    code = "config_invalid"
    default_hint = "Correct it, then run `hostler config check`."

    def __init__(self, message: str, *, hint: str | None = None, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems or (message,)


class RequestError(HostlerError):
    """The client must change its request."""

    code = "invalid_request"
    default_hint = ""


class InvalidRequest(RequestError):
    """The body is not what the endpoint takes."""

    code = "invalid_request"


class BodyTooLarge(RequestError):
    """The body is over the limit."""

    code = "body_too_large"
    default_hint = "Send less, or raise `[limits] body`."


class UnknownProfile(RequestError):
    """No profile has that name."""

    code = "model_not_found"
    default_hint = "`hostler ls` shows every name."


class WrongTask(RequestError):
    """The profile cannot do what the endpoint asks."""

    code = "wrong_task"


class NotFound(RequestError):
    """There is nothing at that path or of that id."""

    code = "not_found"


class MethodNotAllowed(RequestError):
    """The path takes other methods."""

    code = "method_not_allowed"


class RequestCancelled(RequestError):
    """An operator cancelled the request."""

    code = "cancelled"


class Conflict(RequestError):
    """The request contradicts the present state."""

    code = "conflict"


class Unauthorized(RequestError):
    """No valid key came with the request."""

    code = "unauthorized"
    default_hint = "Send `Authorization: Bearer KEY`."


class CredentialMissing(Unauthorized):
    """The profile forwards the client's own key to its remote, and none came."""

    code = "credential_missing"
    default_hint = "Send it as `Authorization: Bearer KEY`; where this gateway has keys too, as `x-api-key` beside it."


class Forbidden(RequestError):
    """The key is valid but lacks the scope."""

    code = "forbidden"
    default_hint = "Use a key of scope admin: `hostler key new NAME --scope admin` makes one."


class TooManyRequests(RequestError):
    """This key, or this address, asks too often."""

    code = "rate_limit_exceeded"
    default_hint = "Wait as `Retry-After` says."


class ModelError(HostlerError):
    """The weights on disk are missing or broken; the message names path and offset."""

    code = "model_broken"
    cause = "model_corrupt"
    default_hint = "Fetch the file again, or correct `model` in the profile."


class DownloadFailed(ModelError):
    """A model could not be fetched; the message names the address and what it answered, never a token."""

    code = "download_failed"
    cause = ""
    default_hint = "Run the same command again: it goes on where it stopped."


class EngineError(HostlerError):
    """An engine did not do what it should. ``shortage`` is set when that was for want of memory."""

    code = "engine_error"
    source: ClassVar[Source] = "engine"
    default_hint = "`hostler logs PROFILE` shows what the engine said."
    shortage: Shortage | None = None


class FlagConflict(EngineError):
    """A flag in ``extra_args`` contradicts one that Hostler sets; the message names both."""

    code = "flag_conflict"
    cause = "bad_flags"
    source: ClassVar[Source] = "gateway"
    default_hint = "Remove it from `extra_args`, or use the setting named above."


class FlagUnsupported(EngineError):
    """This build cannot take that flag; the message names flag and build."""

    code = "flag_unsupported"
    cause = "bad_flags"
    source: ClassVar[Source] = "gateway"
    default_hint = "Remove it, or name a build that takes it in `[profiles.NAME.engine] build`."


class BuildUnusable(EngineError):
    """The named build cannot run here; the message says why."""

    code = "build_unusable"
    source: ClassVar[Source] = "gateway"
    default_hint = "Correct `[profiles.NAME.engine] build`, or remove it to use the embedded build."


class BuildFailed(EngineError):
    """llama.cpp could not be built here; the message says at which step and why."""

    code = "build_failed"
    source: ClassVar[Source] = "gateway"
    default_hint = "Read the build's log."


class LoadFailed(EngineError):
    """The engine ended, or refused, while loading."""

    code = "load_failed"


class KilledBySignal(LoadFailed):
    """The engine died by a signal while loading."""

    code = "engine_killed"


class OutOfMemory(LoadFailed):
    """The engine could not get its memory."""

    code = "out_of_memory"
    default_hint = "Lower `context` or `slots`, or unload another profile."


class LoadTimeout(LoadFailed):
    """The engine was not ready within ``load_s``."""

    code = "load_timeout"
    cause = "slow_load"
    default_hint = "Raise `[limits] load_s` if the disk is slow; `hostler logs PROFILE` shows the stage."


class RemoteKeyMissing(EngineError):
    """The key of a remote is not where its profile says; the message names the place, never a key."""

    code = "remote_key_missing"
    source: ClassVar[Source] = "gateway"


class RemoteRefused(EngineError):
    """A remote does not take the key of its profile, or knows neither the model nor the path."""

    code = "remote_refused"
    default_hint = "Set another key where `key_env` or `key_ring` of the profile says, then unload and load it."


class RemoteFailed(EngineError):
    """A remote failed by itself, or speaks another API than its profile says."""

    code = "remote_failed"
    default_hint = "Try again later, or give the profile's `auto` name a `fallback`."


class EngineLost(EngineError):
    """The engine ended, or its connection broke, during a request."""

    code = "engine_lost"
    default_hint = "Send the request again; the engine is started anew by itself."


class EngineSilent(EngineLost):
    """The engine said nothing for longer than ``first_byte_s`` or ``idle_stream_s``."""

    code = "engine_silent"
    default_hint = "Raise that limit in `[limits]`, or send a shorter prompt."


class RemoteUnreachable(EngineLost):
    """A remote cannot be connected to, or broke off."""

    code = "remote_unreachable"
    default_hint = "Check `url` in the profile and this machine's way to it."


class CapacityError(HostlerError):
    """Not now: too little room, or too many waiting."""

    code = "no_capacity"


class NeverFits(CapacityError):
    """The profile needs more than the whole budget of a device."""

    code = "never_fits"
    default_hint = "Lower `context` or `slots`, take a smaller model, or raise `[memory] budget`."


class QueueFull(CapacityError):
    """The queue is at its bound. ``place`` is where the request would have stood for its profile."""

    code = "queue_full"
    place: int = 0
    default_hint = "Try again later, or raise `[limits] queue`."


class QueueTimeout(CapacityError):
    """The request waited longer than ``queue_timeout_s``. ``place`` is where it stood at the end."""

    code = "queue_timeout"
    place: int = 0
    default_hint = "Try again later, or raise `[limits] queue_timeout_s`."


class RemoteBusy(CapacityError):
    """A remote has reached a limit, or is overloaded."""

    code = "remote_busy"
    source: ClassVar[Source] = "engine"
    default_hint = "Try again later, or give the profile's `auto` name a `fallback`."


class Draining(CapacityError):
    """The gateway is stopping and takes no new work. Another, or the same one, may be there in a few seconds."""

    code = "draining"
    default_hint = "Try again when it is back."
    default_retry_s = 5.0


class HomeError(HostlerError):
    """The state folder or the port cannot be had."""

    code = "home_unusable"


class HomeLocked(HomeError):
    """Another gateway holds this state folder."""

    code = "home_locked"
    default_hint = "Stop that gateway, or set HOSTLER_HOME to another folder."


class PortInUse(HomeError):
    """Something else listens on the address."""

    code = "port_in_use"
    default_hint = "Stop it, or choose another port with `--port`."


class NoGateway(HostlerError):
    """A client found no gateway to talk to; the message names the address."""

    code = "no_gateway"
    default_hint = "Start one with `hostler up`."


class StoreUnavailable(HomeError):
    """The database cannot be opened, read or written now; serving goes on without it."""

    code = "store_unavailable"
    default_hint = "Check the state folder's permissions and free space; it is tried again by itself."
