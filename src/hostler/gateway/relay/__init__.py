"""The way of one request to an engine and of its answer back."""
