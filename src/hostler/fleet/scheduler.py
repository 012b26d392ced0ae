"""Who gets which instance, and when: pure."""
