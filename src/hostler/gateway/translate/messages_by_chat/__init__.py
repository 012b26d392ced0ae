"""Anthropic's messages, asked of a server of OpenAI's chat completions."""
