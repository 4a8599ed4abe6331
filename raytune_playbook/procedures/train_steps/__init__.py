"""``raytune-playbook train-steps``: a candidate for max_train_steps, where training is not compute-bound."""
