"""Ranges that several findings want of one hyperparameter, put together; and ranges in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from raytune_playbook.analysis.findings.space.ranges import end_text
from raytune_playbook.errors import SpaceError
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import (
    Categorical,
    Discrete,
    Float,
    Hyperparameter,
    Int,
    Scale,
    finite_values,
    is_same,
)
from raytune_playbook.study.wording import value_text

_SCALES: dict[Scale, str] = {"linear": "linear", "log": "log", "log_one_minus": "log (1 - value)"}


@dataclass(frozen=True)
class Wanted:
    """A range that a finding asks for.

    Fields:
        hyperparameter: the range, with its scale.
        priority: of the finding; the smaller, the more serious.
    """

    hyperparameter: Hyperparameter
    priority: int


def put_together(old: Hyperparameter | None, wanted: Sequence[Wanted]) -> Hyperparameter:
    """One range for all that is wanted: what widens adds up, and where one widens what another narrows the more serious
    finding wins, of equally serious ones the one that widens.

    Args:
        old: what was searched; None where it was fixed.
        wanted: at least one, the most serious first. Another kind or scale than before is taken from the first.
    """
    first = wanted[0].hyperparameter
    same_kind = [each for each in wanted if type(each.hyperparameter) is type(first)]
    together = _range(old, first, same_kind) if isinstance(first, Float | Int) else _values(old, first, same_kind)
    return together if old is None else with_condition_of(old, together)


def with_condition_of(old: Hyperparameter, new: Hyperparameter) -> Hyperparameter:
    """The range under the condition under which the hyperparameter exists."""
    return new if new.when == old.when else new.model_copy(update={"when": old.when})


def at_most(hyperparameter: Hyperparameter, most: int) -> Hyperparameter:
    """What of a range lies at or below a number; that number alone where all of it lies above."""
    match hyperparameter:
        case Float() | Int():
            if hyperparameter.low >= most:
                return Categorical([most], when=hyperparameter.when)
            return hyperparameter.model_copy(update={"high": min(hyperparameter.high, most)})
        case Discrete() | Categorical():
            values = finite_values(hyperparameter) or ()
            kept = [value for value in values if not isinstance(value, int | float) or value <= most]
            key = "values" if isinstance(hyperparameter, Discrete) else "choices"
            return hyperparameter.model_copy(update={key: tuple(kept) or (most,)})


def is_followed(old: Hyperparameter | None, wanted: Hyperparameter, together: Hyperparameter) -> bool:
    """Whether what was put together does what one finding wanted: it is as wide where that one widens, and narrower
    than before where that one narrows."""
    if isinstance(wanted, Float | Int):
        if not isinstance(together, Float | Int):
            return False
        before = old if isinstance(old, Float | Int) else wanted
        ends = ((wanted.low, before.low, together.low), (-wanted.high, -before.high, -together.high))
        return all(end == was or (now <= end if end < was else now > was) for end, was, now in ends)
    values, found, before_ = (
        finite_values(wanted) or (),
        finite_values(together) or (),
        () if old is None else finite_values(old) or (),
    )
    added = [value for value in values if not _is_in(value, before_)]
    dropped = [value for value in before_ if not _is_in(value, values)]
    return all(_is_in(value, found) for value in added) and (
        not dropped or any(not _is_in(value, found) for value in dropped)
    )


def _range(old: Hyperparameter | None, first: Float | Int, wanted: Sequence[Wanted]) -> Hyperparameter:
    before = old if isinstance(old, Float | Int) else None
    rescaled = [w.hyperparameter for w in wanted if before is None or _scale(w.hyperparameter) != before.scale]
    scale = _scale(rescaled[0]) if rescaled else _scale(first)
    ranges = [(w.hyperparameter, w.priority) for w in wanted if isinstance(w.hyperparameter, Float | Int)]
    low = _end(None if before is None else before.low, [(r.low, priority) for r, priority in ranges], min)
    high = _end(None if before is None else before.high, [(r.high, priority) for r, priority in ranges], max)
    try:
        return type(first)(low, high, scale=scale)  # type: ignore[arg-type]
    except SpaceError:  # ends or a scale that do not go with each other
        return first


_Pick = Callable[[Sequence[float]], float]


def _end(old: float | None, wanted: Sequence[tuple[float, int]], widest: _Pick) -> float:
    """One end of a range.

    Args:
        old: where it was.
        wanted: where it shall be, with the priority of who wants it.
        widest: of several ends; ``min`` for a lower end.
    """
    if old is None:
        return widest([end for end, _ in wanted])
    moved = [(end, priority) for end, priority in wanted if end != old]
    if not moved:
        return old
    most_serious = min(priority for _, priority in moved)
    deciding = [end for end, priority in moved if priority == most_serious]
    if widest([old, *deciding]) == old:  # all of them narrow
        return widest(deciding)
    return widest([end for end, _ in moved])


def _scale(hyperparameter: Hyperparameter) -> Scale:
    return hyperparameter.scale if isinstance(hyperparameter, Float | Int) else "linear"


def _values(old: Hyperparameter | None, first: Discrete | Categorical, wanted: Sequence[Wanted]) -> Hyperparameter:
    most_serious = wanted[0].priority
    before = () if old is None else finite_values(old) or ()
    found: list[Value] = []
    for each in wanted:
        for value in finite_values(each.hyperparameter) or ():
            if not _is_in(value, found) and (each.priority == most_serious or not _is_in(value, before)):
                found.append(value)
    if isinstance(first, Discrete):
        return Discrete(sorted(value for value in found if isinstance(value, int | float)))
    order = [value for value in before if _is_in(value, found)]
    return Categorical([*order, *(value for value in found if not _is_in(value, order))])


def _is_in(value: Value, values: Sequence[Value]) -> bool:
    return any(is_same(value, other) for other in values)


def range_text(hyperparameter: Hyperparameter, *, scale: bool = True) -> str:
    """A range in words: ``from 0.003 to 0.3 on a log scale``, ``among 32, 64 and 128``.

    Args:
        scale: whether to say it; a linear scale goes without saying.
    """
    if isinstance(hyperparameter, Float | Int):
        on = f" on a {_SCALES[hyperparameter.scale]} scale" if scale and hyperparameter.scale != "linear" else ""
        low, high = (end_text(hyperparameter, end) for end in (hyperparameter.low, hyperparameter.high))
        return f"from {low} to {high}{on}"
    return f"among {listed_text(finite_values(hyperparameter) or ())}"


def listed_text(values: Sequence[Value]) -> str:
    """``32, 64 and 128``."""
    texts = [value_text(value) for value in values]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)
