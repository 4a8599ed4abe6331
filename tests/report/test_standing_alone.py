"""A plot of the page by itself."""

from __future__ import annotations

import plotly.graph_objects as go
import pytest

from raytune_playbook.analysis.trials import trials_of
from raytune_playbook.errors import InputError
from raytune_playbook.report.page.page import read_insight
from raytune_playbook.report.standing_alone import plotly_figure, plots_of


@pytest.fixture(scope="module")
def insight(mixed_round):
    return read_insight(mixed_round)


def test_every_plot_of_the_page_is_had_by_its_kind_and_what_it_is_of(insight):
    plots = plots_of(insight)
    kinds = {plot.kind for plot in plots}
    assert {"isolation", "axis", "curves", "best-so-far", "best-of-n", "best-steps", "parallel"} <= kinds
    for plot in plots:
        figure = plotly_figure(insight, plot.kind, plot.of or None)  # plotly refuses what it does not know
        assert isinstance(figure, go.Figure)
        assert figure.layout.title.text == (plot.title or plot.label)
        assert len(figure.data) >= 1
    assert len({(plot.kind, plot.of) for plot in plots}) == len(plots)


def test_in11_an_axis_plot_has_every_trial_with_its_facts(insight, mixed_round):
    figure = plotly_figure(insight, "axis", "learning_rate")
    assert figure.layout.xaxis.title.text == "learning_rate"
    drawn = [trace for trace in figure.data if trace.text]
    facts = {name: text for trace in drawn for name, text in zip(trace.customdata, trace.text, strict=True)}
    trials = {trial.text: trial for trial in trials_of(mixed_round.trials())}
    assert facts.keys() == trials.keys()
    for name, text in facts.items():
        assert text.startswith(f"{name}: {trials[name].outcome}")
        assert f"learning_rate={trials[name].values['learning_rate']:.4g}" in text
        assert "\n" not in text


def test_in12_the_best_of_each_value_is_marked(insight):
    figure = plotly_figure(insight, "isolation")
    best = [trace for trace in figure.data if trace.meta["role"] == "best"]
    assert [trace.y[0] for trace in best] == sorted(trace.y[0] for trace in best)  # the formula adds with each arm
    assert len(best) == 3


def test_what_is_fixed_is_not_among_a_trials_facts(insight):
    text = next(trace.text[0] for trace in plotly_figure(insight, "axis", "dropout").data if trace.text)
    varied = {name for name, role in insight.reading.record.roles.items() if role != "fixed"}
    assert {pair.partition("=")[0] for pair in text.split("<br>")[1].split(", ")} == varied


@pytest.mark.parametrize(
    ("kind", "of", "sentence"),
    [
        ("axes", None, r"^The round's page has no plot 'axes'; there are 'isolation', 'axis' of 'batch_norm', .*\.$"),
        ("axis", "width", r"^The round's page has no plot 'axis' of 'width'; there are .*'axis' of 'dropout'"),
        (
            "axis",
            None,
            r"^One plot is drawn at a time, but 5 are 'axis'; add of=, one of 'batch_norm', .*'schedule'",
        ),
    ],
)
def test_another_plot_is_answered_with_those_that_there_are(insight, kind, of, sentence):
    with pytest.raises(InputError, match=sentence):
        plotly_figure(insight, kind, of)
