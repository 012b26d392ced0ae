"""One file per panel; each satisfies :class:`hostler.cli.top.panels.panel.Panel`."""
