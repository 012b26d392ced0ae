"""``python -m hostler.store.migrate FILE``: bring a database to the newest schema.

Run in a child process, so that the gateway never pays for Alembic's imports.
"""

from __future__ import annotations

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config


def alembic_config(path: Path) -> Config:
    """Alembic's configuration for the database file at ``path``; no ini file is involved."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["database"] = path
    return config


def main(arguments: list[str]) -> int:
    """Upgrade the one file named; 0 when it is at the newest schema."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m hostler.store.migrate FILE\n")
        return 2
    command.upgrade(alembic_config(Path(arguments[0])), "head")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
