"""Why an engine fails: the classes of failure as data, and what an end, a log and a signal come to. Pure."""

from __future__ import annotations

from hostler.engines.failures.causes import BY_ID, CAUSES, Cause
from hostler.engines.failures.ending import Ending, after_ready, at_load, could_not_bind, hanging, not_started
from hostler.engines.failures.memory import shortage
from hostler.engines.failures.signals import name_of, signal_of

__all__ = [
    "BY_ID",
    "CAUSES",
    "Cause",
    "Ending",
    "after_ready",
    "at_load",
    "could_not_bind",
    "hanging",
    "name_of",
    "not_started",
    "shortage",
    "signal_of",
]
