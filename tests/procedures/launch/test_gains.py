"""Rule IN19: gains over launches against retrain variance."""

from __future__ import annotations

from raytune_playbook.procedures.launch.gains import Gain, gains_of, is_next, is_saturated
from tests.records.test_registry import a_launch


def test_in19_two_gains_in_a_row_no_larger_than_retrain_variance_are_saturation() -> None:
    large, small, loss = Gain(0.05, 0.01), Gain(0.004, 0.01), Gain(-0.02, 0.01)
    assert not is_saturated([])
    assert not is_saturated([small])
    assert not is_saturated([small, small, large])
    assert not is_saturated([large, small])
    assert is_saturated([large, small, small])
    assert is_saturated([large, small, loss])


def test_in19_only_gains_over_what_was_in_use_are_a_row_of_gains() -> None:
    first, other, second = (
        a_launch().model_copy(update={"number": number, "replaced_launch": replaced, "gain": gain})
        for number, replaced, gain in ((1, None, 0.05), (2, None, -0.3), (3, 2, 0.01))  # the second against a round
    )
    assert [each.gain for each in gains_of([first, other, second])] == [0.05, 0.01]
    later, earlier = "2026-02-01T00:00:00+00:00", "2026-01-01T00:00:00+00:00"
    assert is_next([], None, earlier)
    assert is_next([first], 1, later)
    assert not is_next([first], None, later)  # against another round
    assert not is_next([first], 1, earlier)  # an older round's best says nothing of how it goes on
