"""Ollama's API: its requests are asked in OpenAI's words, its lists are read from the profiles."""
