"""A job file, what of it travels to workers, where a round comes from, and the checks before it starts."""
