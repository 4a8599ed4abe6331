"""Where training becomes unstable, whether that keeps the learning rate small, and what mends it (rules UN1-UN8)."""
