"""Rounds over a small regression."""

from tests.regression import make_round  # noqa: F401, a fixture
