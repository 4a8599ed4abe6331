"""Finding and reading files: `formats.py` says which formats there are, and each has a module of its own."""
