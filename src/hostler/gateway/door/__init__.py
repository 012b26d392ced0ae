"""Where clients come in: connections, who may pass, and which part of the gateway a path belongs to."""
