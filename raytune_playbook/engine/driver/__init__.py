"""The loop that records what happens in a round, and shows it."""
