"""What an engine is told on its command line."""
