"""What a client gets: an engine's answer on its way, piece by piece."""
