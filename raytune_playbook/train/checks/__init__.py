"""What cannot be trained, or trained on, in one sentence each: the model, its losses and metrics, the examples."""
