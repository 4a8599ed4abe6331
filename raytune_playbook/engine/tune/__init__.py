"""What Ray Tune sees of a round."""
