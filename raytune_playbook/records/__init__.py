"""What happened: records of rounds, studies, trials and measurements, on any pyarrow filesystem."""
