"""Hostler: your models, placed right on your hardware, switched without losing a request."""

__version__ = "0.1.0"
