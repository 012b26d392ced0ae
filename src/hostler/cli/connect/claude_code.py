"""Claude Code: everything by environment variables, in a configuration folder of its own.

Its own folder keeps the user's account, history and settings out of it, and it out of them. The variables leave no
request that is not for the gateway: no telemetry, no update, no survey. The attribution line, which changes with each
version, is left out of the system prompt, so that the engine's prompt cache can go on from it.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from hostler.cli.connect.client import NO_KEY, VARIABLE, Client, Places, Target, Wanted, shown
from hostler.cli.connect.environment import direct, past_proxies

#: Of the user's own set-up; any of them would lead elsewhere.
LEAD_ELSEWHERE: Final = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_CUSTOM_HEADERS",
    "ANTHROPIC_BEDROCK_BASE_URL",
    "ANTHROPIC_VERTEX_BASE_URL",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_FOUNDRY",
    "CLAUDE_CODE_USE_VERTEX",
)
_QUIET: Final = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_FEEDBACK_COMMAND": "1",
    "CLAUDE_CODE_DISABLE_FEEDBACK_SURVEY": "1",
    "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
}
#: A long prompt on a slow machine takes minutes before its first token.
PATIENCE_MS: Final = 3_600_000


def folder(places: Places) -> Path:
    """Its configuration folder, apart from the user's own."""
    return places.own / "claude-code"


def environment(target: Target, places: Places) -> dict[str, str]:
    """What it is started with, but for the key."""
    models = {
        "ANTHROPIC_MODEL": target.model,
        "ANTHROPIC_DEFAULT_OPUS_MODEL": target.model,
        "ANTHROPIC_DEFAULT_SONNET_MODEL": target.model,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": target.small,
        "ANTHROPIC_SMALL_FAST_MODEL": target.small,
        "CLAUDE_CODE_SUBAGENT_MODEL": target.model,
    }
    sizes = {}
    if target.context is not None:
        sizes["CLAUDE_CODE_AUTO_COMPACT_WINDOW"] = str(target.context)
        sizes["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] = str(target.output)
    base = {"CLAUDE_CONFIG_DIR": str(folder(places)), "ANTHROPIC_BASE_URL": target.url}
    return base | models | sizes | {"API_TIMEOUT_MS": str(PATIENCE_MS)} | _QUIET


def started_with(target: Target, places: Places) -> dict[str, str]:
    """The whole environment of a process of it: the user's, less what leads elsewhere, and ours."""
    kept = {name: value for name, value in places.environ.items() if name not in LEAD_ELSEWHERE}
    key = target.key or places.environ.get(VARIABLE) or NO_KEY
    direct = past_proxies(target.url, places.environ)
    return {**kept, **direct, **environment(target, places), "ANTHROPIC_AUTH_TOKEN": key}


def _script(places: Places) -> Path:
    return places.own / "claude-code.sh"


def _files(target: Target, places: Places) -> tuple[Wanted, ...]:
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment(target, places).items()]
    key = shlex.quote(target.key) if target.key else f'"${{{VARIABLE}:-{NO_KEY}}}"'
    lines += [*_past_proxies(target.url), f"export ANTHROPIC_AUTH_TOKEN={key}", f"unset {' '.join(LEAD_ELSEWHERE)}"]
    text = "# Claude Code on this gateway; for a shell.\n" + "\n".join(lines) + "\n"
    return (Wanted(path=_script(places), form="text", text=text),)


def _past_proxies(url: str) -> tuple[str, ...]:
    """Whatever the shell has in either spelling then, and the gateway's host."""
    if not (host := direct(url)):
        return ()
    return (
        'export NO_PROXY="${NO_PROXY:-${no_proxy:-}}"',
        f'export NO_PROXY="${{NO_PROXY:+$NO_PROXY,}}"{shlex.quote(host)}',
        'export no_proxy="$NO_PROXY"',
    )


CLIENT: Final = Client(
    name="claude-code",
    title="Claude Code",
    program="claude",
    install="npm install -g @anthropic-ai/claude-code",
    api="messages",
    files=_files,
    start=lambda _, places: f". {shown(_script(places), places)} && claude",
    after="`hostler claude` does the same without a file.",
)
