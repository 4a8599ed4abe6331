"""Which steps a profiler traces, and what is refused (rule PI4)."""

from __future__ import annotations

import pytest

from raytune_playbook.errors import SpecError
from raytune_playbook.study.profile_steps import ProfileSteps


@pytest.mark.parametrize(("text", "first", "last"), [("10-12", 10, 12), ("1-100", 1, 100), ("7-7", 7, 7)])
def test_pi4_steps_are_counted_from_one_and_both_ends_are_included(text, first, last):
    assert ProfileSteps.parse(text, max_train_steps=100) == ProfileSteps(first, last)


@pytest.mark.parametrize("text", ["x", "", "10", "10-", "-10", "1-2-3", "1.5-2", " 1-2", "1–2"])  # noqa: RUF001
def test_pi4_what_is_not_two_numbers_is_refused_in_a_sentence(text):
    with pytest.raises(SpecError, match=r"--profile: the first and the last step .* give two numbers") as refused:
        ProfileSteps.parse(text, max_train_steps=100)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(("text", "given"), [("0-3", "0 and 3"), ("5-4", "5 and 4"), ("99-101", "99 and 101")])
def test_pi4_steps_that_are_not_trained_are_refused_in_a_sentence(text, given):
    with pytest.raises(SpecError, match=f"1 <= first <= last <= max_train_steps must hold, but got {given} with 100"):
        ProfileSteps.parse(text, max_train_steps=100)
