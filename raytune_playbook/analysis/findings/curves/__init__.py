"""Questions about training curves: what one sees only by looking at them."""
