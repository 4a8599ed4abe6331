"""Rounds of increasing length: the best points of a short round again in a long one (rules LN4 to LN6)."""
