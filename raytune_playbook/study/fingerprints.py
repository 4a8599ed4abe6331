"""All fingerprints: short hashes by which what is the same is known again, in every process and version.

| of | by | equal exactly when |
|---|---|---|
| a study | `study_fingerprint` | all its trials are the same |
| a round | `round_fingerprint` | all its studies are |
| a trial | `trial_fingerprint` | its checkpoints may be taken up |
| a space in Ray Tune's notation | `space_fingerprint` | a searcher's snapshot may be gone on with |
| a workload's source | `source_hash` | the code that made a result is, or what of it trains (`training_code`) |
| examples | `examples_fingerprint`, `content_hash` | preprocessed ones, or those in memory, may be used again |

Each gathers what decides, and leaves out what does not. A change here makes old records look like others: whoever
leaves a new field out where it is not used keeps them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from raytune_playbook.study.frozen import Value
from raytune_playbook.study.trial import TrialSpec

_CHANGES_NO_TRIAL = frozenset({"num_trials", "objective"})
"""Fields of a study: more points change none of the others, and it may be judged otherwise after the fact (QR5)."""

_OPTIONAL = frozenset({"arms", "sets", "grid", "configurations", "input_pipeline", "target"})
"""Fields of a study left out where it makes no use of them, so that they changed no older study's fingerprint."""

_NEUTRAL: dict[str, Value] = {"data_split": 0, "data_augmentation": True}
"""Hyperparameters of the loop that earlier versions did not have, with the value at which trials are what they were."""

_NEUTRAL_IN_TRIALS: dict[str, Value] = {"data_augmentation": True}
"""The same of what came when trials had fingerprints."""


def fingerprint(content: JsonValue) -> str:
    """A short hash of JSON content that is the same in every process and version."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()


def study_fingerprint(
    fields: Mapping[str, JsonValue],
    fixed: Mapping[str, Value],
    space: Mapping[str, Mapping[str, JsonValue]],
    workload_name: str,
    workload_settings: Mapping[str, Value],
) -> str:
    """Equal for two studies exactly when their trials are.

    Args:
        fields: all fields of a `StudySpec` as JSON.
        fixed: its fixed hyperparameters.
        space: its varied ones as JSON, in the order of the search's dimensions.
        workload_name, workload_settings: what it trains. Not the module, which is another one when the same file is run
            as a script, a job or a notebook; nor its source, which changes with every comment.
    """
    content: dict[str, JsonValue] = {
        name: value
        for name, value in fields.items()
        if name not in _CHANGES_NO_TRIAL and (name not in _OPTIONAL or value not in (None, [], {}))
    }
    if fields.get("target") is not None:  # then what it is a value of decides where trials end
        content["objective"] = fields["objective"]
    content["fixed"] = _without(_NEUTRAL, fixed)
    if content["search"] == "halton":
        del content["search"]
    # An ordered list, since the order of the dimensions decides the points.
    content["space"] = [
        [name, {field: value for field, value in hyperparameter.items() if value or field != "when"}]
        for name, hyperparameter in space.items()
    ]
    content["workload"] = [workload_name, dict(workload_settings)]
    return fingerprint(content)


def round_fingerprint(name: str, seed: int, studies: Iterable[str]) -> str:
    """Equal for two rounds exactly when all their trials are; ``studies`` are their studies' fingerprints."""
    return fingerprint([name, seed, *studies])


def trial_fingerprint(trial: TrialSpec, num_workers: int) -> str:
    """Equal for trials whose numbers are the same, whatever they are judged by."""
    left_out = {"objective", "target"} if trial.target is None else set[str]()
    content = trial.model_dump(mode="json", exclude=left_out)
    content["values"] = _without(_NEUTRAL_IN_TRIALS, content["values"])
    return fingerprint([content, num_workers])


def _without(neutral: Mapping[str, Value], values: Mapping[str, Value]) -> dict[str, JsonValue]:
    return {name: value for name, value in values.items() if name not in neutral or value != neutral[name]}


def space_fingerprint(dimensions: JsonValue, constants: JsonValue) -> str:
    """SHA-256, in hexadecimal, of a space in Ray Tune's notation: of all that decides about the values."""
    return hashlib.sha256(json.dumps([dimensions, constants], sort_keys=True).encode()).hexdigest()


def source_hash(source: bytes) -> str:
    """Of the file that a workload's class is written in; empty for one of a notebook or a shell."""
    return hashlib.blake2b(source, digest_size=8).hexdigest()


def examples_fingerprint(facts: tuple[object, ...], sources: Mapping[str, str]) -> str:
    """Equal where preprocessed examples would come out the same.

    Args:
        facts: what preprocessing depends on beside the sources; their representations count.
        sources: what each split's source holds, in words or as a `content_hash`.
    """
    parts = [repr(facts), *(part for split in sorted(sources) for part in (split, sources[split]))]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()


def content_hash(content: bytes) -> str:
    """Of what a source of examples holds, or of which files it names and how they are decoded."""
    return hashlib.blake2b(content).hexdigest()
