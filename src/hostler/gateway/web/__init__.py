"""The doorstep: the one page a browser gets at `/`."""
