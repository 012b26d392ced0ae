"""What the gateway asks an engine on its own account."""
