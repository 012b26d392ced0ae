"""How fast an engine is on this machine, measured by its own clock."""
