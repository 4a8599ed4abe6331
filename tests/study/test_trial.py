"""Trials in and out as JSON, and their names."""

from __future__ import annotations

import json

from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.trial import TrialSpec


def test_trial_survives_json(make_study):
    for index in range(30):
        trial = suggest(make_study(), index, repeat=index % 3)
        again = TrialSpec(**json.loads(json.dumps(trial.model_dump(mode="json"))))
        assert again == trial
        assert list(map(type, again.values.values())) == list(map(type, trial.values.values()))


def test_trial_keys_sort_like_indices_and_name_repeats(make_study):
    keys = [suggest(make_study(), index, repeat).key for index in (0, 9, 10, 99999) for repeat in (0, 1)]
    assert keys == ["00000", "00000.r1", "00009", "00009.r1", "00010", "00010.r1", "99999", "99999.r1"]
    assert sorted(keys) == keys
