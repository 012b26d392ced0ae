"""Requests as llama.cpp understands them: what its converters of other APIs leave out or take wrongly."""
