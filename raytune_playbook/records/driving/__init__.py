"""Who runs a round: the claim that one driver holds, its process, and what other commands ask of it."""
