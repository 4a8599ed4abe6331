"""Trials in the folder of a `ray.tune.Tuner`'s experiment, read without Ray.

::

    <folder>/experiment_state-*.json        how each trial stands
             <trial>/params.json            its hyperparameters
                     result.json            a line for each report
                     error.txt              its traceback

Tune records values, and neither the space nor the objective. Each report is a point of the trial's curves, against
``training_iteration``. That a scheduler has stopped a trial is not recorded either: it has made fewer reports than
others.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import pyarrow.fs as pafs

from raytune_playbook.analysis.series.curves import Curve
from raytune_playbook.errors import DataError
from raytune_playbook.records.storage import Storage, first_line
from raytune_playbook.report.foreign.recorded import Recorded, RecordedTrial, State, as_number, flattened, values_of

MAX_READERS = 16
"""So many trials are read at once, which a storage far away needs."""

STEP = "training_iteration"

_TUNES_OWN = {
    *("checkpoint_dir_name", "config", "date", "done", "episodes_total", "experiment_id", "experiment_tag", "hostname"),
    *("iterations_since_restore", "node_ip", "pid", "should_checkpoint", "time_since_restore", "time_this_iter_s"),
    *("time_total_s", "timestamp", "timesteps_since_restore", "timesteps_total", "training_iteration", "trial_id"),
    *("trial_name", "warmup_time"),
}
"""What Tune adds to each report."""

_COUNTERS = {"epoch", "step", "global_step", "iteration"}
"""Reports that count are no metrics."""


@runtime_checkable
class ResultGrid(Protocol):
    """What `ray.tune.Tuner.fit` returns, as far as it says where the experiment lies."""

    @property
    def experiment_path(self) -> str: ...

    @property
    def filesystem(self) -> pafs.FileSystem: ...


Json: TypeAlias = Mapping[str, object]


@dataclass(frozen=True)
class _Known:
    """What the experiment's state says of a trial."""

    trial_id: str
    status: str
    started_at_s: float
    config: Json


def recorded_by_ray_tune(given: str | Path | ResultGrid) -> Recorded:
    """The trials of an experiment.

    Args:
        given: its folder or URI, or what the tuner returned.

    Raises:
        DataError: there is no experiment.
    """
    storage = Storage(_uri(given))
    folders = _trial_folders(storage)
    known = _state(storage)
    if not folders and not known:
        _refuse(storage)
    with ThreadPoolExecutor(MAX_READERS) as readers:
        read = list(readers.map(lambda folder: _trial(storage, folder, known.get(folder)), folders))
    waiting = [_waiting(name, each) for name, each in known.items() if name not in folders]
    name = storage.root.rstrip("/").rpartition("/")[2]
    return Recorded(f"recorded in {name} by Ray Tune", name, _numbered([*read, *waiting]))


def _uri(given: str | Path | ResultGrid) -> str:
    if isinstance(given, str | Path):
        return str(given)
    if isinstance(given, ResultGrid):
        is_local = isinstance(given.filesystem, pafs.LocalFileSystem)
        return given.experiment_path if is_local else f"{given.filesystem.type_name}://{given.experiment_path}"
    raise DataError(
        f"An experiment of Ray Tune is named by its folder, or by what Tuner.fit has returned, but got {given!r}; "
        "give one of them."
    )


def _trial_folders(storage: Storage) -> list[str]:
    selector = pafs.FileSelector(storage.root, recursive=True, allow_not_found=True)
    try:
        files = [info.path for info in storage.fs.get_file_info(selector) if info.type == pafs.FileType.File]
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else first_line(error)
        raise DataError(
            f"Trials are read from the folder of an experiment of Ray Tune, but {storage.uri!r} cannot be listed "
            f"({why.lower()}); correct the path."
        ) from None
    within = [path[len(storage.root) :].strip("/").split("/") for path in files]
    return sorted({parts[0] for parts in within if len(parts) == 2 and parts[1] in ("params.json", "result.json")})


def _state(storage: Storage) -> dict[str, _Known]:
    """What the newest state of the experiment says, by trial folder; empty where there is none that can be read."""
    infos = storage.fs.get_file_info(pafs.FileSelector(storage.root, allow_not_found=True))
    states = sorted(each.base_name for each in infos if each.base_name.startswith("experiment_state-"))
    content = storage.read(states[-1]) if states else None
    found: dict[str, _Known] = {}
    for spec, metadata in _pairs(_json(content or b"")):
        folder = str(spec.get("relative_logdir") or spec.get("trial_id"))
        started_at_s = metadata.get("start_time")
        config = spec.get("config")
        found[folder] = _Known(
            str(spec.get("trial_id")),
            str(spec.get("status")),
            float(started_at_s) if isinstance(started_at_s, int | float) else 0.0,
            config if isinstance(config, Mapping) else {},
        )
    return found


def _pairs(state: Json) -> Iterator[tuple[Json, Json]]:
    data = state.get("trial_data")
    for pair in data if isinstance(data, list) else []:
        if isinstance(pair, list) and len(pair) == 2:
            yield _json(str(pair[0]).encode()), _json(str(pair[1]).encode())


def _json(content: bytes) -> Json:
    """A JSON object; an empty one where it was cut off or is none."""
    try:
        given = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return given if isinstance(given, dict) else {}


def _refuse(storage: Storage) -> None:
    experiments = [folder for folder in storage.folders() if _state(Storage(storage.uri_of(folder)))]
    if storage.read("result.json") is not None:
        advice = "it is the folder of one trial: name the one above it."
    elif experiments:
        advice = f"name one of the experiments in it: {', '.join(experiments)}."
    else:
        advice = "name the folder that holds experiment_state-*.json."
    raise DataError(
        f"Trials are read from the folder of an experiment of Ray Tune, but {storage.uri!r} is none; {advice}"
    )


def _trial(storage: Storage, folder: str, known: _Known | None) -> RecordedTrial:
    lines = [_json(line) for line in (storage.read(f"{folder}/result.json") or b"").splitlines()]
    reports = [line for line in lines if line]
    params = _json(storage.read(f"{folder}/params.json") or b"")
    config = params or (reports[-1].get("config") if reports else None) or (known.config if known else {})
    error = storage.read(f"{folder}/error.txt")
    last = reports[-1] if reports else {}
    train_s = last.get("time_total_s")
    curves = _curves(reports)
    state = _state_of(known, last, failed=error is not None)
    return RecordedTrial(
        number=-1,
        name=known.trial_id if known else str(last.get("trial_id") or folder),
        values=values_of(config) if isinstance(config, Mapping) else {},
        state=state,
        metrics={name: float(curve.values[-1]) for name, curve in curves.items()},
        curves=curves,
        traceback=error.decode(errors="replace") if error is not None and state is State.FAILED else None,
        train_s=float(train_s) if isinstance(train_s, int | float) else None,
        started_at=_time(known, reports),
    )


def _state_of(known: _Known | None, last: Json, *, failed: bool) -> State:
    if known is not None:
        ends = {"TERMINATED": State.ENDED, "ERROR": State.FAILED}
        return ends.get(known.status, State.UNFINISHED)
    return State.FAILED if failed else State.ENDED if last.get("done") is True else State.UNFINISHED


def _time(known: _Known | None, reports: Sequence[Json]) -> str:
    first = reports[0].get("timestamp") if reports else None
    started_at_s = known.started_at_s if known else first
    if not isinstance(started_at_s, int | float) or not started_at_s:
        return ""
    return datetime.fromtimestamp(started_at_s, UTC).isoformat(timespec="seconds")


def _curves(reports: Sequence[Json]) -> dict[str, Curve]:
    """Each metric against the step; of a step that was reported again, after a restart, the newest counts."""
    points: dict[str, dict[int, float]] = {}
    for place, report in enumerate(reports):
        step = report.get(STEP, place + 1)
        own = {name: value for name, value in report.items() if name not in _TUNES_OWN}
        for name, value in flattened(own).items():
            number = as_number(value)
            if number is not None and name.rpartition("/")[2] not in _COUNTERS and isinstance(step, int):
                points.setdefault(name, {})[step] = number
    return {
        name: Curve(np.array(sorted(of), dtype=np.int64), np.array([of[step] for step in sorted(of)], dtype=np.float64))
        for name, of in points.items()
    }


def _waiting(folder: str, known: _Known) -> RecordedTrial:
    return RecordedTrial(-1, known.trial_id or folder, values_of(known.config), State.UNFINISHED)


def _numbered(trials: list[RecordedTrial]) -> tuple[RecordedTrial, ...]:
    """With Tune's own numbers where the trials' names end in them, else in the order in which they started."""
    numbers = [int(found[1]) if (found := re.search(r"_(\d+)$", trial.name)) else None for trial in trials]
    own = [number for number in numbers if number is not None]
    if len(set(own)) == len(trials):
        numbered = [replace(trial, number=number) for trial, number in zip(trials, own, strict=True)]
        return tuple(sorted(numbered, key=lambda trial: trial.number))
    in_order = sorted(trials, key=lambda trial: (trial.started_at or "~", trial.name))
    return tuple(replace(trial, number=number) for number, trial in enumerate(in_order))
