"""What was sampled of search spaces, as points of the unit cube, and what their coordinates explain."""
