"""What is said of a round before it starts: what it may not be, which rules of thumb it goes against, what it takes."""
