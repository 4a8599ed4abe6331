"""Choosing a batch size: which sizes fit, how fast they train, and how many steps each needs (rules BA1 to BA9)."""
