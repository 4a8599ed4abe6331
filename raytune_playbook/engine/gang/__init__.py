"""One warm gang of Ray Train workers: its host, its Train run, its workers, what became of an attempt."""
