"""Bodies as each API declares them: what an engine would take wrongly, or break on, is refused here."""
