"""A program that looks like llama.cpp's server from outside, answers at once, and misbehaves when told to.

``python -m hostler.testing.fake_engine [llama-server flags] [--fake-* switches]``; ``--help`` lists both.
"""
