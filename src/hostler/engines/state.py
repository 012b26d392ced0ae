"""The states of an instance and the moves between them: pure."""
