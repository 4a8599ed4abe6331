"""How one trial learns: torch, and no ray; runs in one process or under any torch process group."""
