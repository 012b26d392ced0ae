"""What the fleet promises, measured: a storm, a long series of switches, killed engines, a stop under load."""
