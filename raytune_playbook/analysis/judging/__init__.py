"""What trials are worth: by any objective, at any time, and which are best."""
