"""What `hostler doctor` looks at: one file per check, each a function that yields findings."""
