"""Searchers that anyone can give to a `ray.tune.Tuner`: Halton, Bayesian, in order."""
