"""OpenAI's chat completions, asked of a server of Anthropic's messages."""
