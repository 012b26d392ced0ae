"""Renews the package-lock.json of a folder, without addresses: ``lock_node.py FOLDER``.

npm leaves out where packages come from when it is told so, but not the pages on which their authors take money. What a
package would like to have for other platforms and the registry does not give is left out too, or `npm ci` refuses.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

OPTIONS = ("--package-lock-only", "--omit-lockfile-registry-resolved", "--no-audit", "--no-fund")


def main(folder: Path) -> None:
    """Resolve, then strip."""
    subprocess.run(["npm", "install", *OPTIONS], cwd=folder, check=True)
    file = folder / "package-lock.json"
    lock = json.loads(file.read_bytes())
    for package in lock["packages"].values():
        package.pop("funding", None)
        wished = package.get("optionalDependencies", {})
        for name in [name for name in wished if f"node_modules/{name}" not in lock["packages"]]:
            del wished[name]
    file.write_text(json.dumps(lock, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
