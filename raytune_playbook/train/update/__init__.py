"""What happens to the weights at a step: optimizers, schedules, clipping, averaging."""
