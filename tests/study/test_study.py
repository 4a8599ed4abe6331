"""Studies in and out as JSON."""

from __future__ import annotations

import json

from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.study import StudySpec


def typed(values: dict[str, object]) -> dict[str, tuple[type, object]]:
    return {name: (type(value), value) for name, value in values.items()}


def test_study_survives_json(make_study):
    again = StudySpec(**json.loads(json.dumps(make_study().model_dump(mode="json"))))
    assert again == make_study()
    assert list(again.space) == list(make_study().space)
    assert typed(again.fixed) == typed(make_study().fixed)
    assert again.fingerprint == make_study().fingerprint
    for index in range(30):
        assert typed(suggest(again, index).values) == typed(suggest(make_study(), index).values)
