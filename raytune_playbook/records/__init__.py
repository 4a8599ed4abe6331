"""What happened: records of rounds, studies, trials and measurements, on any pyarrow filesystem."""

DEFAULT_STORAGE = "rounds"
"""The folder that holds rounds where no storage is named; here, for the command line to know it without pyarrow."""
