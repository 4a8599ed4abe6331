"""Rule IN19: gains over launches against retrain variance."""

from __future__ import annotations

from raytune_playbook.procedures.launch.gains import Gain, is_saturated


def test_in19_two_gains_in_a_row_no_larger_than_retrain_variance_are_saturation() -> None:
    large, small, loss = Gain(0.05, 0.01), Gain(0.004, 0.01), Gain(-0.02, 0.01)
    assert not is_saturated([])
    assert not is_saturated([small])
    assert not is_saturated([small, small, large])
    assert not is_saturated([large, small])
    assert is_saturated([large, small, small])
    assert is_saturated([large, small, loss])
