"""The next round: what a round's findings ask for, applied to it and written as a job file (rule IN16)."""
