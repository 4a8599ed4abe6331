"""Numbers, values and times as text."""

from __future__ import annotations

import pytest

from raytune_playbook.analysis.wording import bytes_text, duration_text, form_for, number_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "—"),
        (0, "0 s"),
        (0.0123, "12.3 ms"),
        (1, "1 s"),
        (45.678, "45.7 s"),
        (59.96, "1 min 00 s"),
        (61.4, "1 min 01 s"),
        (600, "10 min 00 s"),
        (3599.6, "1 h 00 min"),
        (9000, "2 h 30 min"),
    ],
)
def test_durations_have_the_unit_that_suits_them(seconds, text):
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (None, "—"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.977 KiB"),
        (45.67 * 2**20, "45.7 MiB"),
        (999.9 * 2**20, "0.976 GiB"),
        (80 * 2**30, "80 GiB"),
        (1500 * 2**30, "1.465 TiB"),
    ],
)
def test_memory_has_the_unit_that_suits_it(num_bytes, text):
    assert bytes_text(num_bytes) == text


def test_absent_is_a_dash_and_zero_is_a_number():
    assert (number_text(None), number_text(0.0)) == ("—", "0")


@pytest.mark.parametrize(("count", "form"), [(0, "were"), (1, "was"), (2, "were")])
def test_a_word_agrees_with_its_count(count, form):
    assert form_for(count, "was", "were") == form
