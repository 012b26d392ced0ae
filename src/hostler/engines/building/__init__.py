"""Building llama.cpp on this machine, and trying what was built."""
