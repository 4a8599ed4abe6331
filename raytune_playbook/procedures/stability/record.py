"""The record of a stability study: its verdict, sentences, tables, numbers, and what to do next."""

from __future__ import annotations

from pydantic import JsonValue

from raytune_playbook.analysis.wording import count_text, number_text
from raytune_playbook.procedures.stability.judging import Judged, largest_stable
from raytune_playbook.procedures.stability.mends import Mend
from raytune_playbook.procedures.stability.parts import rounded
from raytune_playbook.procedures.stability.plots import plots_of
from raytune_playbook.procedures.stability.remedies import longer_sentence, remedies_table, remedy_text, then
from raytune_playbook.procedures.stability.study import Study
from raytune_playbook.records.procedures import Cell, ProcedureRecord, ShownTable


def completed(draft: ProcedureRecord, study: Study, job: str) -> ProcedureRecord:
    """The record of a study.

    Args:
        draft: with what the procedure knows by itself.
        job: the job file's path, for the commands to run next.
    """
    tables = [rates_table(study)]
    if study.warmups:
        tables.append(warmups_table(study))
    if study.is_limiting:
        tables.append(remedies_table(study))
    return draft.model_copy(
        update={
            "verdict": verdict_of(study),
            "is_good": not study.is_limiting or study.remedy is not None,
            "sentences": tuple(sentences_of(study)),
            "tables": tuple(tables),
            "plots": tuple(plots_of(study)),
            "numbers": numbers_of(study),
            "next": tuple(then(study, job)),
        }
    )


def verdict_of(study: Study) -> str:
    """What it came to, in one sentence or two."""
    if not study.is_limiting:
        return study.found
    if study.remedy is not None:
        return f"{study.found} {_upper(remedy_text(study.remedy))} mends it: {_gain(study, study.remedy)}."
    if any(mend.widens and mend.is_lower_rate for mend in study.mends):
        return f"{study.found} Only clipping most updates mends it, which is in essence a lower learning rate."
    return f"{study.found} Neither a warmup of up to a tenth of training nor clipping mends it."


def sentences_of(study: Study) -> list[str]:
    """What the verdict rests on."""
    found = [study.how] if study.how else []
    found.append(_check_sentence(study))
    if not study.is_limiting:
        return found
    found += _warmup_sentences(study)
    found += [_clipping_sentence(study, mend) for mend in study.mends if mend.name == "clipping_norm"]
    found.append(
        "A stable range is known as finely as its learning rates were tried, and each was trained once: retrain what "
        "you adopt, with other seeds, before you rely on its gain."
    )
    return found


def numbers_of(study: Study) -> dict[str, JsonValue]:
    """What other procedures go on with; see `raytune_playbook.stability`."""
    without = study.best_without
    numbers: dict[str, JsonValue] = {
        "best_learning_rate": study.best_rate,
        "largest_stable_learning_rate": study.largest_stable,
        "unstable_base_learning_rate": study.unstable_rate,
        "kind": "none" if study.kind is None else study.kind.value,
        "is_limiting": study.is_limiting,
        "baseline_objective": None if without is None else without.objective,
        "remedy": None if study.remedy is None else study.remedy.name,
    }
    for mend in study.mends:
        short = "warmup" if mend.name == "warmup_steps" else "clipping"
        numbers |= {
            mend.name: mend.value,
            f"widening_by_{short}": mend.widening,
            f"{short}_objective": None if mend.best is None else mend.best.objective,
        }
        if mend.clipped is not None:
            numbers["clipped_share"] = mend.clipped
    return numbers


# ---------------------------------------------------------------------- sentences


def _check_sentence(study: Study) -> str:
    """What the first steps at twice the best learning rate look like (rule UN3)."""
    if not study.check:
        return "The first steps at twice the best learning rate could not be judged."
    one = study.check[0]
    looked = f"the first {count_text(one.total_steps)} steps at {one.learning_rate:g}, twice the best learning rate"
    if one.is_stable:
        return f"Evaluated at every step, {looked}, show no instability."
    recovers = ""
    if one.objective is not None:
        recovers = "; it recovers, which evaluations that are further apart do not show"
    return f"Evaluated at every step, {looked}, are unstable ({one.seen}){recovers}."


def _warmup_sentences(study: Study) -> list[str]:
    mend = next((each for each in study.mends if each.name == "warmup_steps"), None)
    if study.base_rate is None or study.unstable_rate is None:
        return ["No warmup was tried: the present one takes a tenth of training already."]
    wished = f"{study.base_rate:g}, {study.base_rate / study.unstable_rate:.3g} times the unstable one"
    lengths = " and ".join(", ".join(map(count_text, study.warmups)).rsplit(", ", 1))
    reached = max((one.learning_rate for each in study.warmups.values() for one in each if one.is_stable), default=None)
    sentence = f"Warmups of {lengths} steps, with twice as many after them, were tried to learning rates up to {wished}"
    if reached is None:
        return [f"{sentence}: none is stable at any of them."]
    if reached == study.base_rate:
        sentence += f": the shortest that is stable there takes {_steps(study, reached)} steps."
    else:
        sentence += (
            f": none is stable there, but up to {reached:g}, with {_steps(study, reached)} steps; longer ones would "
            "take more than a tenth of training."
        )
    found = [sentence]
    if mend is not None:
        found.append(f"With {remedy_text(mend)}, over whole trainings, {_gain(study, mend)}.")
        longer = longer_sentence(study, mend)
        found += [longer] if longer else []
    return found


def _steps(study: Study, rate: float) -> str:
    stable = [
        steps
        for steps, each in study.warmups.items()
        if any(one.learning_rate == rate and one.is_stable for one in each)
    ]
    return count_text(min(stable))


def _clipping_sentence(study: Study, mend: Mend) -> str:
    where = "the 90th percentile of the logged gradient norms"
    norms = study.norms
    if norms is not None and mend.value < rounded(float(norms.quantiles[90])):
        where = f"below {where}, {number_text(float(norms.quantiles[90]), 3)}, at which training stayed unstable"
    sentence = f"With {remedy_text(mend)} ({where}), {_gain(study, mend)}"
    if mend.clipped is None:
        return f"{sentence}."
    sentence += f"; {mend.clipped:.0%} of the best training's updates are clipped"
    if mend.is_lower_rate:
        return f"{sentence}, more than half: that is a strange way of reducing the learning rate; lower that instead."
    return f"{sentence}."


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


def _gain(study: Study, mend: Mend) -> str:
    """How much wider the stable range became, and what the best training came to."""
    old, new = study.largest_stable, largest_stable(mend.sweep)
    if new is None:
        return "training is stable at none of the learning rates"
    if old is None or mend.widening is None:
        return f"training is stable up to {new:g}"
    reach = f"training is stable up to {new:g} rather than {old:g} ({mend.widening:.2g} times as large)"
    if mend.widening <= 1:
        reach = f"training is stable up to {new:g}, no further than without ({old:g})"
    return f"{reach}, and its best {study.objective.name} is {_objectives(study, mend)}"


def _objectives(study: Study, mend: Mend) -> str:
    without = study.best_without
    own = None if mend.best is None else mend.best.objective
    before = None if without is None else without.objective
    return f"{number_text(own)} as without" if own == before else f"{number_text(own)} instead of {number_text(before)}"


# ---------------------------------------------------------------------- tables


def rates_table(study: Study) -> ShownTable:
    """What became of each learning rate, without and with each remedy."""
    sweeps = [("without", study.sweep), *((remedy_text(mend), mend.sweep) for mend in study.mends)]
    rates = sorted({one.learning_rate for _, sweep in sweeps for one in sweep})
    columns = ["learning rate", "times the best"]
    for name, _ in sweeps:
        columns += [name if study.mends else "training", study.objective.name]
    rows: list[tuple[Cell, ...]] = []
    for rate in rates:
        row: list[Cell] = [rate, f"{rate / study.best_rate:.2g}"]
        for _, sweep in sweeps:
            one = next((each for each in sweep if each.learning_rate == rate), None)
            row += [_state(one), None if one is None else one.objective]
        rows.append(tuple(row))
    leading = tuple(place for place, rate in enumerate(rates) if rate == study.best_rate)
    return ShownTable(title="Learning rates", columns=tuple(columns), rows=tuple(rows), leading=leading)


def warmups_table(study: Study) -> ShownTable:
    """The warmup study: whether each base learning rate was stable with each warmup."""
    rates = sorted({one.learning_rate for each in study.warmups.values() for one in each})
    rows = [
        (steps, *(_state(next((one for one in each if one.learning_rate == rate), None)) for rate in rates))
        for steps, each in study.warmups.items()
    ]
    columns = ("warmup steps", *(f"to {rate:g}" for rate in rates))
    return ShownTable(title="Warmup study", columns=columns, rows=tuple(rows))


def _state(one: Judged | None) -> str | None:
    if one is None:
        return None
    return "stable" if one.instability is None else f"unstable, {one.instability.value}"
