"""Examples that are read anew every epoch, window by window."""
