"""Running, resuming, extending and checking rounds, and preprocessing their examples."""
