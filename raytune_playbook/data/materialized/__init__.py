"""Examples that are read once, kept in memory and shared, or saved preprocessed."""
