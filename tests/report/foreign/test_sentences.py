"""What a page of other tools' trials says: nothing of records, commands and runs that only rounds of our own have."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import optuna
import pytest

from raytune_playbook.report.foreign.foreign_round import ForeignRound
from raytune_playbook.report.foreign.read import read_optuna, read_ray_tune, read_table
from raytune_playbook.report.page.extras import Extras
from raytune_playbook.report.page.page import render_page

OWN = re.compile(
    r"raytune[-_]playbook|--[a-z]|\bresume|\bretry|\bjob\b|\bpropose\b|\bcheckpoint|\bgang|\battempt|fingerprint|"
    r"\bworkload\b|\bpreprocess|\bcommit\b|\bround\.json|\bstatus\.json|\blogs\b",
    re.IGNORECASE,
)
"""Words for what only a round of our own has."""

NUM_STEPS = 40


def error(step: int, rate: float) -> float:
    return 0.05 * (math.log10(rate) + 2) ** 2 + 0.5 / step


def rates(number: int) -> list[float]:
    return [float(f"{10 ** (-4 + 4 * ((place * 0.618) % 1)):.4g}") for place in range(number)]


def table(errors: Sequence[float | None], **roles: object) -> ForeignRound:
    kinds = ["a" if place % 3 else "b" for place in range(len(errors))]
    columns = {"learning_rate": rates(len(errors)), "kind": kinds, "val_error": list(errors)}
    return read_table(columns, objective="val_error", scientific="kind", **roles)


def experiment(folder: Path, ends: Mapping[int, str], num_trials: int = 20) -> ForeignRound:
    """Trials as they lie in Ray Tune's folder: each ended, or as is said of it by its number."""
    pairs = []
    for number, rate in enumerate(rates(num_trials)):
        end = ends.get(number, "TERMINATED")
        trial = folder / f"trial_{number}"
        trial.mkdir()
        kind = "a" if number % 2 else "b"
        (trial / "params.json").write_text(json.dumps({"learning_rate": rate, "kind": kind, "clipping_norm": 1.0}))
        num_steps = {"STOPPED": 10, "ERROR": 3}.get(end, NUM_STEPS)
        reports = [
            {
                "training_iteration": step,
                "val_error": math.nan if end == "NAN" else error(step, rate) * (1.5 if step > 30 else 1),
                "train_error": error(step, rate),
                "train_loss": error(step, rate) * (step if number % 5 == 0 else 1),
            }
            for step in range(1, num_steps + 1)
        ]
        (trial / "result.json").write_text("".join(f"{json.dumps(report)}\n" for report in reports))
        if end == "ERROR":
            (trial / "error.txt").write_text("Traceback\nRuntimeError: the gradient is gone")
        status = {"STOPPED": "TERMINATED", "NAN": "TERMINATED"}.get(end, end)
        spec = {"trial_id": f"x_{number:05d}", "status": status, "relative_logdir": f"trial_{number}"}
        pairs.append([json.dumps(spec), json.dumps({"start_time": 1000.0 + number})])
    (folder / "experiment_state-2026.json").write_text(json.dumps({"trial_data": pairs}))
    return read_ray_tune(folder, objective="val_error", scientific="kind")


def study(outcome: Callable[[int], str]) -> ForeignRound:
    """Trials of an Optuna study that complete, are pruned, fail or still wait."""
    made = optuna.create_study(study_name="mlp")
    for number, rate in enumerate(rates(20)):
        space = {
            "learning_rate": optuna.distributions.FloatDistribution(1e-4, 1.0, log=True),
            "kind": optuna.distributions.CategoricalDistribution(["a", "b"]),
        }
        made.enqueue_trial({"learning_rate": rate, "kind": "ab"[number % 2]})
        trial = made.ask(space)
        how = outcome(number)
        for step in range(1, NUM_STEPS + 1 if how == "COMPLETE" else 9):
            trial.report(error(step, rate), step)
        if how == "COMPLETE":
            made.tell(trial, error(NUM_STEPS, rate))
        elif how != "RUNNING":
            made.tell(trial, state=optuna.trial.TrialState[how])
    return read_optuna(made, scientific="kind")


READ: dict[str, Callable[[Path], ForeignRound]] = {
    "table": lambda folder: table([error(10, rate) for rate in rates(60)]),
    "table of counted examples": lambda folder: table(
        [round(100 * error(10, rate)) / 100 for rate in rates(60)], validation_examples=100
    ),
    "table with values missing": lambda folder: table([error(10, rate) if rate < 0.1 else None for rate in rates(40)]),
    "table without results but one": lambda folder: table([0.5, *[None] * 20]),
    "table of NaN": lambda folder: table([math.nan] * 12),
    "table of one row": lambda folder: table([0.5]),
    "table of one value": lambda folder: table([0.5] * 12),
    "experiment": lambda folder: experiment(folder, {}),
    "experiment that runs": lambda folder: experiment(folder, {3: "RUNNING", 4: "PENDING"}),
    "experiment with a crash": lambda folder: experiment(folder, {3: "ERROR", 4: "NAN", 5: "STOPPED"}),
    "experiment that crashed": lambda folder: experiment(folder, dict.fromkeys(range(20), "ERROR")),
    "experiment of few": lambda folder: experiment(folder, {1: "STOPPED", 2: "STOPPED"}, 3),
    "study": lambda folder: study(lambda number: "COMPLETE"),
    "study that is pruned": lambda folder: study(lambda number: "PRUNED" if number % 2 else "COMPLETE"),
    "study that failed": lambda folder: study(lambda number: "FAIL"),
    "study that fails and runs": lambda folder: study(lambda number: ("FAIL", "COMPLETE", "RUNNING")[number % 3]),
}


@pytest.fixture(scope="module", params=READ)
def read(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ForeignRound:
    return READ[request.param](tmp_path_factory.mktemp("read"))


def test_nothing_is_said_of_what_only_rounds_of_our_own_have(read):
    said = [read.answer.sentence, *read.answer.reasons, *read.inferred, *read.reading.record.warnings]
    for finding in read.findings:
        said += [finding.sentence, *([finding.proposal.sentence] if finding.proposal else [])]
    said += [change.words for change in read.insight.next_study.changes]
    assert [sentence for sentence in said if OWN.search(sentence)] == []
    html = render_page(read.insight, Extras())
    body = html[html.index("<body") :]
    text = re.sub(r"<[^>]+>", " ", re.sub(r"<(script|style)\b.*?</\1>", "", body, flags=re.DOTALL))
    assert "How to reproduce it" in text
    assert [text[found.start() - 60 : found.end() + 20] for found in OWN.finditer(text)] == []
    assert "<h3>Input pipeline</h3>" not in html


def test_tracebacks_are_spoken_of_where_there_are_some(read):
    there = any(trial.last_traceback for trial in read.reading.trials)
    said = " ".join(finding.sentence + finding.proposal.sentence for finding in read.findings if finding.proposal)
    assert ("traceback" in said) == there


def test_a_trial_says_what_its_own_tool_calls_it(read):
    html = render_page(read.insight, Extras())
    assert '"attempts":' not in html
    assert html.count('"recorded_as":') == len(read.reading.trials)
    assert all(json.dumps(trial.attempts[0].gang)[:-1] in html for trial in read.reading.trials)
