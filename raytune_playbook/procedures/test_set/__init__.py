"""The end of the playbook: the test set, and folding the validation set into training."""
