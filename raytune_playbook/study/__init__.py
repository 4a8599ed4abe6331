"""What to ask: hyperparameters, rounds, studies and trials as frozen specifications."""
