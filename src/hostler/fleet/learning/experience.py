"""All that earlier loads taught, in the state folder."""

from __future__ import annotations

from pathlib import Path

from hostler.fleet.learning.findings import Findings
from hostler.fleet.learning.measurements import Measurements
from hostler.fleet.learning.residuals import Residuals
from hostler.fleet.prompts.keeper import Keeper
from hostler.fleet.recovery.retries import Retries


class Experience:
    """What was measured of loads, how their bytes compared with the plan, which ran out of memory, and which defects
    builds have.

    A file that is broken is as one that is missing: estimates begin anew. ``prompts`` keeps what engines computed; it
    writes its own files.
    """

    def __init__(self, folder: Path, prompts: Keeper | None = None) -> None:
        self.prompts = prompts
        self.measurements = Measurements(folder / "measurements.json")
        self.residuals = Residuals(folder / "residuals.json")
        self.retries = Retries(folder / "ladders.json")
        self.findings = Findings(folder)

    def save(self) -> None:
        """Write everything. Blocking; raises the last OSError after having tried every file."""
        failed: OSError | None = None
        for table in (self.measurements, self.residuals, self.retries, self.findings):
            try:
                table.save()
            except OSError as error:
                failed = error
        if failed is not None:
            raise failed
