"""What a gateway promises, tried on a running one: checks of its API, and a storm whose every request is judged."""
