"""Continue: a file in its folder of models, which its editors' extension takes up by itself and `cn --config` names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from hostler.cli.connect.client import VARIABLE, Client, Places, Target, Wanted, shown
from hostler.cli.connect.environment import direct, directly


def _file(places: Places) -> Path:
    return places.moved("CONTINUE_GLOBAL_DIR", ".continue") / "models" / "hostler.yaml"


def _model(name: str, roles: list[str], target: Target) -> str:
    options: dict[str, object] = {}
    if target.context is not None:
        options = {"contextLength": target.context, "maxTokens": target.output}
    fields: dict[str, object] = {
        "provider": "openai",
        "model": name,
        "apiBase": target.openai,
        "apiKey": target.secret(f"${{{{ secrets.{VARIABLE} }}}}"),
        "roles": roles,
        "capabilities": ["tool_use"],
    }
    if host := direct(target.url):
        fields["requestOptions"] = {"noProxy": [host]}
    if options:
        fields["defaultCompletionOptions"] = options
    # JSON's values are YAML's.
    lines = "".join(f"    {field}: {json.dumps(value)}\n" for field, value in fields.items())
    return f"  - name: {json.dumps(f'Hostler: {name}')}\n{lines}"


def _files(target: Target, places: Places) -> tuple[Wanted, ...]:
    models = [_model(target.model, ["chat", "edit", "apply", "summarize"], target)]
    if target.small != target.model:
        models.append(_model(target.small, ["chat", "summarize"], target))
    text = "# Continue on this gateway.\nname: Hostler\nversion: 1.0.0\nschema: v1\nmodels:\n" + "".join(models)
    return (Wanted(path=_file(places), form="text", text=text),)


CLIENT: Final = Client(
    name="continue",
    title="Continue",
    program="cn",
    install="npm install -g @continuedev/cli, or the extension of your editor",
    api="chat",
    files=_files,
    start=lambda target, places: directly(
        target.url, places.environ, f"CONTINUE_TELEMETRY_ENABLED=0 cn --config {shown(_file(places), places)}"
    ),
    after="The extension offers the model beside those it has already.",
)
