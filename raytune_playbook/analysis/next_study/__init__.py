"""The next study: what the findings of a round ask for, put together."""
