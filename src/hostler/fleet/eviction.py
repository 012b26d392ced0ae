"""Which idle instances leave so that a profile fits: pure."""
