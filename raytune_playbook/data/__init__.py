"""Reading, preprocessing, sharing and batching of examples with Ray Data."""
