"""Many gangs: the queue of trials, the retry rule, and what the driver hears."""
