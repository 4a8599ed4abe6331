"""Whether a cluster is fit for rounds: what each node says of itself, and what is to be done about it."""
