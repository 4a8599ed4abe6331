"""Models that were trained: loading them, and what they predict."""
