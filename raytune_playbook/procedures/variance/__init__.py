"""How much of a result is chance: of retraining, of the search, and of the division of the examples."""
