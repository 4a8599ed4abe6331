"""How figures look."""

from __future__ import annotations

from raytune_playbook.report.figures.style import looks_of


def test_sixteen_studies_look_different():
    looks = looks_of([str(number) for number in range(16)])
    assert len(set(looks.values())) == 16
