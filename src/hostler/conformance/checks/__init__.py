"""Named checks of the API: what any OpenAI-speaking server should do, and what only a gateway of ours does."""
