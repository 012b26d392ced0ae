"""What an engine is asked: a request's body read once, checked, and edited as its profile wants it."""
