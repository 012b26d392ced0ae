"""Ollama's API, asked of an engine in OpenAI's words."""
