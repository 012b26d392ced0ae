"""The composition root: builds everything and owns the root task group."""
