"""Renews the package-lock.json of a folder, without addresses: ``lock_node.py FOLDER``.

npm leaves out where packages come from when it is told so, but not the pages on which their authors take money. A part
for a Mac or for Linux that the registry does not have here stands in the lock by its version, without a hash: left out,
it would not be installed there either. What else a package would like to have and npm does not see is left out, or
`npm ci` refuses.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

OPTIONS = ("--package-lock-only", "--omit-lockfile-registry-resolved", "--no-audit", "--no-fund")
SYSTEMS = ("darwin", "linux")
PROCESSORS = ("arm64", "x64")


def main(folder: Path) -> None:
    """Resolve, strip, complete."""
    subprocess.run(["npm", "install", *OPTIONS], cwd=folder, check=True)
    file = folder / "package-lock.json"
    lock = json.loads(file.read_bytes())
    packages: dict[str, Any] = lock["packages"]
    for package in list(packages.values()):
        package.pop("funding", None)
        wished: dict[str, str] = package.get("optionalDependencies", {})
        for name in [name for name in wished if f"node_modules/{name}" not in packages]:
            if (part := _elsewhere(name, wished[name])) is not None:
                packages[f"node_modules/{name}"] = part
            else:
                del wished[name]
    lock["packages"] = dict(sorted(packages.items()))
    file.write_text(json.dumps(lock, indent=2) + "\n")


def _elsewhere(name: str, version: str) -> dict[str, object] | None:
    """The entry of a part for the platform that its name ends with; None when it names none of ours."""
    words = name.split("-")
    systems = [word for word in words if word in SYSTEMS]
    processors = [word for word in words if word in PROCESSORS]
    if not systems or not processors or not version[0].isdigit():
        return None
    libc = {"libc": ["musl"]} if "musl" in words else {}
    return {"version": version, "cpu": processors, **libc, "optional": True, "os": systems}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
