"""What we learned, drawn: a self-contained page for each round, and short tables for the terminal."""
