"""Finding and reading files, one module a format."""
