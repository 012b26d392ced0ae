"""How the tests of this folder run a command line in their own process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

Run = Callable[..., Result]
HOSTLER = Path(sys.executable).with_name("hostler")
