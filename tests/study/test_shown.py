"""How rounds and trials show themselves."""

from __future__ import annotations

import html
import re

import pytest
from rich.console import Console

from raytune_playbook.analysis.trials import Trial
from raytune_playbook.records.types import Attempt, Machine, Outcome, Training
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Float
from raytune_playbook.study.round import Round
from raytune_playbook.study.settings import Budget
from raytune_playbook.study.shown import NOTEBOOK_WIDTH, Shown

GOAL = "Is <b>dropout</b> & co. better?"


@pytest.fixture
def round_(workload) -> Round:
    return Round(
        name="shown",
        goal=GOAL,
        workload=workload,
        scientific={"weight_decay": Categorical([0.0, 0.3])},
        nuisance={"learning_rate": Float(0.01, 1, scale="log")},
        budget=Budget(num_trials=8, max_train_steps=2_000, evaluation_interval_steps=10),
        notes="after the last one",
    )


@pytest.fixture
def trial() -> Trial:
    return Trial(
        "dropout=0.3",
        7,
        values={"dropout": 0.3, "learning_rate": 0.1},
        outcome=Outcome.COMPLETED,
        objective=0.125,
        best_step=1_500,
        training=Training(num_steps=2_000, num_parameters=5, train_s=61.0),
        attempts=(Attempt(1, "gang-0", "2026-01-01T00:00:00+00:00", traceback="first line\n<module>\n"),),
        machine=Machine(device="cuda", hosts=("a", "a", "b")),
    )


def test_a_round_is_a_line_in_pythons_prompt(round_):
    assert (
        repr(round_)
        == str(round_)
        == ("<Round 'shown': scientific weight_decay; nuisance learning_rate; 8 trials in 2 studies, 2,000 steps each>")
    )


def test_a_round_shows_in_a_notebook_what_it_asks(round_):
    shown = round_._repr_mimebundle_()
    text = re.sub(r"  +", "|", shown["text/plain"])
    assert text.splitlines() == [
        f"shown: {GOAL}",
        f"|workload|{type(round_.workload).__name__}",
        "|scientific|weight_decay: 0, 0.3",
        "|nuisance|learning_rate: 0.01 to 1, log scale",
        "|objective|validation error, minimized",
        "|budget|8 trials in 2 studies, 2,000 steps each",
        "|search|halton, seed 0",
        "|notes|after the last one",
    ]


def test_a_trial_shows_how_it_ended(trial):
    assert repr(trial) == "<Trial dropout=0.3/00007: completed with 0.125 at step 1,500>"
    text = trial._repr_mimebundle_()["text/plain"]
    for fact in ("dropout=0.3, learning_rate=0.1", "2,000 steps in 1 min 01 s", "cuda of a, b", "first line"):
        assert fact in text


def test_what_has_not_ended_is_shown_without_what_is_not_known():
    shown = Trial("all", 0)._repr_mimebundle_()["text/plain"]
    assert shown == "all/00000: has not ended"


@pytest.mark.parametrize("kind", ["round_", "trial"])
def test_html_is_the_text_escaped_and_in_the_notebooks_own_colours(kind, request):
    shown: Shown = request.getfixturevalue(kind)
    page, text = (shown._repr_mimebundle_()[kind] for kind in ("text/html", "text/plain"))
    bare = html.unescape(re.sub(r"<[^>]+>", "", page))
    assert [line.rstrip() for line in bare.strip("\n").splitlines()] == text.splitlines()
    assert set(re.findall(r"<(\w+)", page)) == {"pre", "span"}
    assert "color" not in page and "<b>" not in page and "<module>" not in page
    assert max(map(len, text.splitlines())) <= NOTEBOOK_WIDTH


def test_what_says_not_how_it_shows_cannot_be_made():
    class Mute(Shown):
        pass

    with pytest.raises(TypeError, match="__rich__"):
        Mute()


def test_a_terminal_shows_the_same(round_, quiet: Console):
    quiet.print(round_)
    plain = [line.rstrip() for line in quiet.file.getvalue().splitlines()]
    assert plain == round_._repr_mimebundle_()["text/plain"].splitlines()
