"""Hyperparameters: what they may be, which ones the rules of thumb know, and the spaces that they make."""
