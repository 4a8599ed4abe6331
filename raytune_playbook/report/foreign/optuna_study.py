"""Trials of an Optuna study: from its database, its journal, or the study itself.

Optuna records the ranges, the direction and how each trial ended; intermediate values are a curve. What the objective
function returned is a trial's value; where that is the best or the last of its intermediate values, those are the same
metric. A trial that returned NaN has failed, as Optuna counts it, and nothing tells it from one that crashed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from raytune_playbook.analysis.series.curves import Curve
from raytune_playbook.errors import DataError
from raytune_playbook.records.storage import first_line
from raytune_playbook.report.foreign.recorded import Recorded, RecordedTrial, State, as_number, as_value, require_once
from raytune_playbook.report.foreign.roles import choices
from raytune_playbook.study.closest import did_you_mean
from raytune_playbook.study.hyperparameters.hyperparameter import Float, Hyperparameter, Int
from raytune_playbook.study.settings import Goal, Over

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

VALUE, INTERMEDIATE = "value", "intermediate value"
"""What a metric is called that Optuna knows no name of."""

MAX_LISTED = 100
"""A range with a step that has more values is taken for a continuous one."""


def recorded_by_optuna(given: str | Path | Study, study: str | None = None) -> Recorded:
    """The trials of a study.

    Args:
        given: a database's URL, a file with one or with a journal, or the study.
        study: its name, where the database holds several.

    Raises:
        DataError: optuna is not installed, or there is no such study.
    """
    _require_optuna()
    loaded, where = (_loaded(str(given), study)) if isinstance(given, str | Path) else (given, "")
    if not hasattr(loaded, "get_trials"):
        raise DataError(
            f"A study of Optuna is named by its database's URL, or given itself, but got {given!r}; give one of them."
        )
    trials = loaded.get_trials(deepcopy=False)
    first_step = min((step for trial in trials for step in trial.intermediate_values), default=1)
    metrics = _Metrics.of(loaded, trials)
    return Recorded(
        origin=f"recorded in {where or f'the study {loaded.study_name}'} by Optuna",
        name=loaded.study_name,
        trials=tuple(_trial(trial, metrics, shift=first_step == 0) for trial in trials),
        ranges=_ranges(trials),
        objective=metrics.names[0] if len(metrics.names) == 1 else None,
        goal=metrics.goals[0] if len(metrics.goals) == 1 else None,
        over=metrics.over,
        notes=_notes(trials, metrics),
    )


def _require_optuna() -> None:
    if find_spec("optuna") is None:
        raise DataError("Reading a study of Optuna needs optuna, which is not installed; run pip install optuna.")


# ---------------------------------------------------------------------- opening


def _loaded(url: str, name: str | None) -> tuple[Study, str]:
    from optuna import get_all_study_names, load_study

    storage, where = _storage(url)
    names = get_all_study_names(storage)
    if not names:
        raise DataError(f"A study of Optuna must be there, but {url!r} holds none; correct the URL.")
    if name is None and len(names) > 1:
        raise DataError(f"{url!r} holds several studies: {', '.join(names)}; name one with --study.")
    chosen = name or names[0]
    if chosen not in names:
        advice = did_you_mean(chosen, names, "name one of them with --study.")
        raise DataError(f"{url!r} holds the studies {', '.join(names)} and no {chosen!r}; {advice}")
    return load_study(study_name=chosen, storage=storage), where


def _storage(url: str) -> tuple[BaseStorage, str]:
    """A storage that is there already: Optuna itself would make a new one in its place.

    Returns:
        The storage, and what to call it.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path = Path(url)
    if "://" in url:
        return _database(url)
    if not path.is_file():
        raise DataError(
            f"A study of Optuna is read from a database or a file, but there is none at {url!r}; correct it."
        )
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(b"SQLite format 3"):
        return _database(f"sqlite:///{path.absolute()}")
    if head.startswith(b"{"):
        return JournalStorage(JournalFileBackend(url)), path.name
    raise DataError(f"A study of Optuna is read from SQLite or a journal, but {url!r} is neither; name another file.")


def _database(url: str) -> tuple[BaseStorage, str]:
    from optuna.storages import RDBStorage
    from sqlalchemy import create_engine, inspect
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        parsed = make_url(url)
        database = parsed.database or ""
        if parsed.get_backend_name() == "sqlite" and not Path(database).is_file():
            raise DataError(
                f"A study of Optuna is read from a database, but there is none at {database!r}; correct it."
            )
        engine = create_engine(parsed)
        has_studies = inspect(engine).has_table("studies")
        engine.dispose()
        if not has_studies:
            raise DataError(f"A study of Optuna must be there, but {url!r} is no database of its; correct the URL.")
        return RDBStorage(url, skip_table_creation=True), Path(database).name
    except (SQLAlchemyError, ImportError, RuntimeError, ValueError) as error:
        raise DataError(
            "A study of Optuna is read from a database's URL, such as sqlite:///optuna.db, but "
            f"{_without_password(url)!r} cannot be read ({first_line(error)}); correct it."
        ) from None


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


# ---------------------------------------------------------------------- metrics


@dataclass(frozen=True)
class _Metrics:
    """What the study's values are called, which of them are good, and what intermediate values are.

    Fields:
        over: which of the intermediate values the value is; None where they are another metric.
    """

    names: tuple[str, ...]
    goals: tuple[Goal, ...]
    over: Over | None

    @classmethod
    def of(cls, study: Study, trials: Sequence[FrozenTrial]) -> _Metrics:
        number = len(study.directions)
        numbered = [VALUE] if number == 1 else [f"{VALUE}s_{place}" for place in range(number)]
        goals: list[Goal] = ["maximize" if each.name == "MAXIMIZE" else "minimize" for each in study.directions]
        over = _over(trials, goals[0]) if number == 1 else None
        return cls(tuple(study.metric_names or numbered), tuple(goals), over)


def _over(trials: Sequence[FrozenTrial], goal: Goal) -> Over | None:
    """Which of a trial's intermediate values its value is: in every completed trial the same one, else None.

    Where no trial was completed it is the last: what Optuna itself takes for the value of one that was pruned.
    """
    extreme = min if goal == "minimize" else max
    could_be: set[Over] = {"last", "best"}
    num_seen = 0
    for trial in trials:
        steps = sorted(trial.intermediate_values)
        value = as_number(trial.values[0]) if trial.values else None
        if trial.state.name != "COMPLETE" or not steps or value is None or not math.isfinite(value):
            continue
        num_seen += 1
        finite = [each for each in trial.intermediate_values.values() if math.isfinite(each)]
        if not math.isclose(trial.intermediate_values[steps[-1]], value, rel_tol=1e-9):
            could_be.discard("last")
        if not finite or not math.isclose(extreme(finite), value, rel_tol=1e-9):
            could_be.discard("best")
    if not any(trial.state.name == "COMPLETE" for trial in trials):
        return "last"
    if not num_seen or not could_be:
        return None
    return "best" if "best" in could_be else "last"


def _notes(trials: Sequence[FrozenTrial], metrics: _Metrics) -> tuple[str, ...]:
    notes = []
    if any(trial.intermediate_values for trial in trials) and metrics.over is None:
        notes.append(
            "The intermediate values are neither at their best nor at their last what the trials returned, so they are "
            "taken for another metric."
        )
    if any(trial.state.name == "FAIL" for trial in trials):
        notes.append("Optuna does not record why trials failed; those that returned NaN are among them.")
    if any(0 in trial.intermediate_values for trial in trials):
        notes.append("Steps are counted from 1, and were from 0.")
    return tuple(notes)


# ---------------------------------------------------------------------- trials and ranges


def _trial(trial: FrozenTrial, metrics: _Metrics, *, shift: bool) -> RecordedTrial:
    """A trial; ``shift`` counts steps from 1 that were counted from 0."""
    curve = _curve(trial, int(shift))
    name = metrics.names[0] if metrics.over is not None else INTERMEDIATE
    measured: dict[str, float] = {}
    for key, value in (*zip(metrics.names, trial.values or (), strict=False), *trial.user_attrs.items()):
        number = as_number(value)
        if number is not None:
            require_once(key, measured)
            measured[key] = number
    state, reason = _state(trial, curve)
    started, duration = trial.datetime_start, trial.duration
    return RecordedTrial(
        number=trial.number,
        name=f"trial {trial.number}",
        values={key: as_value(value) for key, value in trial.params.items()},
        state=state,
        metrics=measured,
        curves={} if curve is None else {name: curve},
        reason=reason,
        train_s=None if duration is None else duration.total_seconds(),
        started_at="" if started is None else started.astimezone(UTC).isoformat(timespec="seconds"),
    )


def _curve(trial: FrozenTrial, shift: int) -> Curve | None:
    steps = sorted(trial.intermediate_values)
    if not steps:
        return None
    values = [float(trial.intermediate_values[step]) for step in steps]
    return Curve(np.array(steps, dtype=np.int64) + shift, np.array(values, dtype=np.float64))


def _state(trial: FrozenTrial, curve: Curve | None) -> tuple[State, str | None]:
    broken = {key: value for key, value in trial.constraints.items() if value > 0}
    last = None if curve is None else float(curve.values[-1])
    match trial.state.name:
        case "COMPLETE" if broken:
            return (
                State.INFEASIBLE,
                f"declared infeasible: constraint {', '.join(broken)} is above 0",
            )
        case "COMPLETE":
            return State.ENDED, None
        case "PRUNED" if last is None:
            return State.INFEASIBLE, "declared infeasible: pruned before anything was reported"
        case "PRUNED":
            return State.STOPPED_EARLY, None
        case "FAIL" if last is not None and not math.isfinite(last):
            kind = "NaN" if math.isnan(last) else "infinity"
            return State.INFEASIBLE, f"{kind}: its last intermediate value"
        case "FAIL":
            return State.FAILED, "Optuna does not record why"
        case _:
            return State.UNFINISHED, None


def _ranges(trials: Iterable[FrozenTrial]) -> dict[str, Hyperparameter]:
    """What was searched, over all trials; a hyperparameter of which there was one value only is not there."""
    given: dict[str, list[BaseDistribution]] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            of_name = given.setdefault(name, [])
            if distribution not in of_name:
                of_name.append(distribution)
    found = {name: _range(distributions) for name, distributions in given.items()}
    return {name: searched for name, searched in found.items() if searched is not None}


def _range(distributions: Sequence[BaseDistribution]) -> Hyperparameter | None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    first = distributions[0]  # Optuna refuses others of another kind, scale or choices
    if isinstance(first, CategoricalDistribution):
        return choices(tuple(as_value(choice) for choice in first.choices))
    ranges = [each for each in distributions if isinstance(each, FloatDistribution | IntDistribution)]
    low, high = min(each.low for each in ranges), max(each.high for each in ranges)
    if low == high or not isinstance(first, FloatDistribution | IntDistribution):
        return None
    if first.step and first.step != 1 and (high - low) / first.step < MAX_LISTED:
        number = round((high - low) / first.step) + 1
        return choices(tuple(low + place * first.step for place in range(number)))
    if isinstance(first, IntDistribution):
        return Int(int(low), int(high), scale="log" if first.log else "linear")
    return Float(low, high, scale="log" if first.log else "linear")
