"""The page of a round, as a file."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from jinja2 import UndefinedError

from raytune_playbook.analysis.answer.answer import Verdict
from raytune_playbook.errors import SpecError, StorageError
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.report.insight import Insight
from raytune_playbook.report.page import page as page_module
from raytune_playbook.report.page.extras import Extras
from raytune_playbook.report.page.page import page_view, read_insight, render_page, write_page
from raytune_playbook.report.page.rendering import render
from raytune_playbook.report.page.views import plots as plots_module
from raytune_playbook.study.settings import Objective
from tests.report.conftest import STABILITY
from tests.report.page.by_hand import found_by_hand

VOID = {"meta", "br", "input"}


class Page(HTMLParser):
    """Checks that elements nest, and gathers what the tests ask for."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.html = html
        self.feed(self.html.replace("<wbr>", ""))  # only where a line may break
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    @property
    def ids(self) -> set[str]:
        return {value for _, name, value in self.attributes if name == "id"}

    @property
    def data(self) -> dict[str, dict]:
        return json.loads(self.scripts[0])


@pytest.fixture(scope="module")
def mixed_page(mixed_round):
    """The mixed round's page, which has only to be read."""
    path = write_page(mixed_round)
    assert path == f"{mixed_round.uri}/report/index.html"
    return Page(Path(path).read_text())


@pytest.fixture(scope="module")
def found_page(mixed_round):
    """The same with findings, an answer and a next study that are made by hand."""
    insight = found_by_hand(read_insight(mixed_round))
    return Page(render_page(insight, Extras(propose="raytune-playbook propose norms-1 --storage here")))


def test_tells_the_round_in_order(found_page):
    text = found_page.text
    parts = [
        "norms-1",
        "Which normalization of batches has the lowest error?",
        "finished",
        "24 of 24 trials ended · 20 completed, 3 infeasible (3 diverged), 1 failed",
        "Answer no difference shown",
        "The best of all three values tie at <0.02>.",
        "2 fixed hyperparameters",
        "depth = 20",
        "Findings",
        "Is the search space large enough?",
        "Next study",
        "raytune-playbook propose norms-1 --storage here",
        "Plots",
        "Hyperparameter axis plots",
        "Training curves",
        "Trials",
        "How to reproduce it",
        "raytune-playbook run jobs/norms.py",
        "0f1e2d3c with uncommitted changes",
        "0123456789abcdef",
    ]
    assert [part for part in parts if part not in text] == []
    places = []
    for part in parts[4:]:
        places.append(text.index(part, places[-1] if places else text.index("Answer no")))
    assert places == sorted(places)


def test_in18_a_tie_is_called_a_tie(found_page):
    assert "● device tied" in found_page.text
    assert "◆ sync tied" in found_page.text
    assert "■ ghost tied" not in found_page.text
    assert "33%" in found_page.text
    assert "0.018 to 0.035" in found_page.text


def test_in16_problems_come_first_and_what_passes_is_folded(found_page):
    html = found_page.html
    open_part, _, folded = html[html.index('<section id="findings">') : html.index('<section id="next">')].partition(
        "<details>"
    )
    told = re.findall(r'<article class="finding ([a-z-]+)"', open_part)
    assert told == ["problem", "look"]
    assert re.findall(r'<article class="finding ([a-z-]+)"', folded) == ["cannot-tell", "passes"]
    assert "1 problem, 1 to look at, 1 that cannot be told, 1 passes" in found_page.text


def test_in16_a_finding_says_what_to_do_where_to_read_on_and_which_trials(found_page):
    text = found_page.text
    start = text.index("✖ problem Is the search space")
    problem = text[start : text.index("! look")]
    assert "4 of the 5 best trials lie at the upper end of <learning_rate>. The answer waits for it." in problem
    assert "Next: Search learning_rate from 0.0001 to 10." in problem
    assert "Identifying bad search space boundaries" in problem and "rule IN1" in problem
    hrefs = [value for tag, name, value in found_page.attributes if (tag, name) == ("a", "href")]
    assert "#trial=batch_norm%3Ddevice%2F00003" in hrefs
    assert "https://github.com/google-research/tuning_playbook#identifying-bad-search-space-boundaries" in hrefs


def test_every_link_within_the_page_leads_somewhere(found_page):
    hrefs = [value for tag, name, value in found_page.attributes if (tag, name) == ("a", "href")]
    names = {trial["name"] for trial in found_page.data["trials"]}
    within = [href[1:] for href in hrefs if href.startswith("#")]
    trials = [href.removeprefix("trial=") for href in within if href.startswith("trial=")]
    assert len(trials) > 5
    assert {trial.replace("%3D", "=").replace("%2F", "/") for trial in trials} <= names
    assert {href for href in within if not href.startswith("trial=")} <= found_page.ids


def test_sd8_the_best_of_each_arm_stand_side_by_side(mixed_page):
    text = mixed_page.text
    # Point 3 is the best of the formula; it crashed in the third arm, whose next best is point 1.
    assert re.search(r"● device .*?0.02122 .*?— .*?device/00003", text)
    assert re.search(r"◆ sync .*?0.03122 .*? 0.01 .*?sync/00003", text)
    assert re.search(r"■ ghost .*?0.06235 .*? 0.041 .*?ghost/00001", text)


def test_every_trial_is_there_with_its_reason_and_log(mixed_page):
    arms = ("device", "sync", "ghost")
    trials = {trial["name"]: trial for trial in mixed_page.data["trials"]}
    assert set(trials) == {f"batch_norm={arm}/{index:05d}" for arm in arms for index in range(8)}
    assert trials["batch_norm=sync/00002"]["reason"] == "diverged: training loss 80.1 exceeds 2 x 2.34"
    assert trials["batch_norm=ghost/00003"]["error"] == "ValueError: <shapes> differ"
    assert trials["batch_norm=sync/00002"]["logs"] == [["batch_norm=sync/logs/00002.1.0.log", "1, 0"]]


def test_ck4_a_pruned_trial_counts_as_completed_and_is_called_stopped_early(pruned_page_file):
    page = Page(Path(pruned_page_file).read_text())
    trials = page.data["trials"]
    assert [trial["outcome"] for trial in trials].count("completed") == 4
    (early,) = (trial for trial in trials if trial.get("is_stopped_early"))
    assert early["reason"] == "stopped early at step 3 of 4"
    assert "1 of 4 trials was stopped early" in page.text


def test_is_self_contained(mixed_page):
    loading = {"src", "srcset", "href", "data", "action", "poster"}
    loads = [value or "" for _, name, value in mixed_page.attributes if name in loading]
    allowed = ("#", "../", "https://github.com/google-research/tuning_playbook#")  # the last only when one clicks
    assert [value for value in loads if not value.startswith(allowed)] == []
    assert not any(tag in ("link", "img", "iframe") for tag, *_ in mixed_page.attributes)
    assert "@import" not in mixed_page.html
    assert mixed_page.html.count("plotly.js v") == 1
    policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
    assert ("meta", "content", policy) in mixed_page.attributes


def test_in11_a_plot_for_every_hyperparameter_with_every_trial_in_it(mixed_page):
    data = mixed_page.data
    axis = {name: figure for name, figure in data["figures"].items() if name.startswith("axis")}
    titles = [figure["layout"]["xaxis"]["title"]["text"] for figure in axis.values()]
    assert titles == ["batch_norm", "learning_rate", "momentum", "dropout", "schedule"]
    names = {trial["name"] for trial in data["trials"]}
    for figure in axis.values():
        assert {name for trace in figure["data"] for name in trace.get("customdata", [])} == names


def test_in5_curves_of_the_best_trials_and_all_others_at_hand(mixed_page):
    figures = mixed_page.data["figures"]
    curves = [figure for figure in figures.values() if figure["layout"]["meta"]["kind"] == "curves"]
    assert [figure["layout"]["yaxis"]["title"]["text"] for figure in curves] == [
        "error",
        "loss",
        "loss",
        "gradient norm",
    ]
    lines = [trace for trace in curves[0]["data"] if trace["mode"] == "lines"]
    assert len({trace["meta"]["trial"] for trace in lines}) == 24
    assert len({trace["meta"]["trial"] for trace in lines if trace["meta"]["best"]}) == 9


def test_qr5_judged_by_another_objective(mixed_round):
    objective = Objective(metric="loss", split="train", over="last")
    path = write_page(mixed_round, objective=objective)
    assert path == f"{mixed_round.uri}/report/train-loss-minimize-last.html"  # beside the round's own page
    page = Page(Path(path).read_text())
    assert "judges the trials by the train loss at the end of training; the lowest is best, instead of" in page.text
    assert "the lowest validation error over training." in page.text
    assert page.data["objective"]["name"] == "train loss"
    answer = page_view(read_insight(mixed_round, objective=objective), Extras()).answer
    assert answer.objective_head == "train loss"
    assert (answer.rows[0].values, answer.rows[0].details[0]) == (("device",), "400 of 400")
    assert "This page judges" not in Page(Path(write_page(mixed_round, objective=Objective())).read_text()).text


def test_qr5_the_page_holds_what_every_trial_can_be_judged_by(mixed_page, mixed_round):
    data = mixed_page.data
    found = {(each["split"], each["metric"]): each for each in data["candidates"]}
    assert next(iter(found)) == ("validation", "error")
    for split, metric, over, goal in (
        ("validation", "error", "best", "minimize"),
        ("train", "loss", "last", "minimize"),
        ("validation", "loss", "best", "maximize"),
    ):
        objective = Objective(metric=metric, split=split, over=over, goal=goal)
        judged = {
            "/".join(t.id): (t.objective, t.best_step)
            for t in read_insight(mixed_round, objective=objective).evidence.trials
        }
        kind = found[split, metric]["last" if over == "last" else "lowest" if goal == "minimize" else "highest"]
        for trial, value, step in zip(data["trials"], kind["values"], kind["steps"], strict=True):
            expected = judged[trial["name"]]
            assert (value, step) == (
                pytest.approx(expected[0], rel=1e-5) if expected[0] is not None else None,
                expected[1],
            )


def test_qr5_no_such_metric_is_said(mixed_round):
    with pytest.raises(SpecError, match="evaluations of 'validation' must report it"):
        write_page(mixed_round, objective=Objective(metric="accuracy"))


def test_many_trials_keep_the_curves_of_the_best_and_of_those_that_findings_name(mixed_round, monkeypatch):
    monkeypatch.setattr(plots_module, "MAX_TRIALS_WITH_CURVES", 6)
    insight = found_by_hand(read_insight(mixed_round), trials=(("batch_norm=sync", "00002"),))
    page = Page(render_page(insight, Extras()))
    assert "The page holds the curves of 6 of 24 trials: the best ones, and those that findings point to." in page.text
    lines = [trace for trace in page.data["figures"]["curves-0"]["data"] if trace["mode"] == "lines"]
    best = {"device/00003", "sync/00003", "ghost/00001", "device/00001", "device/00005"}
    assert {trace["meta"]["trial"] for trace in lines} == {f"batch_norm={name}" for name in best | {"sync/00002"}}
    assert len(page.data["trials"]) == 24


def test_a_round_of_another_tool_has_a_page_without_what_is_not_known(mixed_round):
    insight = read_insight(mixed_round)
    blank = {"command": "", "commit": None, "job": None, "versions": {}, "fingerprint": "", "created_at": ""}
    record = insight.reading.record.model_copy(update=blank)
    reading = replace(insight.reading, record=record, status=None, origin="recorded in trials.csv")
    evidence = replace(insight.evidence, curves={})
    page = Page(render_page(replace(insight, reading=reading, evidence=evidence), Extras()))
    assert page.text.count("24 trials ended") == 1 and page.text.count("recorded in trials.csv") == 2  # head and foot
    assert "which records nothing of how to run them again" in page.text
    assert "propose" not in page.text
    assert page.data["storage"] is None and page.data["candidates"] == []
    assert len(page.data["trials"]) == 24


EVIL = "</script><script>alert(1)</script><img src=x> & '\""


def test_every_text_of_a_round_is_escaped(make_round):
    store = make_round(
        arms=[{"mode": "<b>x<b>"}, {"mode": EVIL.replace("/", "")}],
        space={},
        trials_per_arm=2,
        outcomes=lambda arm, i: "infeasible" if arm else "completed" if i else "failed",
    )
    file = store.storage.local_path / store.name / "round.json"
    record = json.loads(file.read_text())
    texts = dict.fromkeys(("goal", "command", "commit", "job", "created_at", "fingerprint"), EVIL)
    texts |= {name: [EVIL] for name in ("caveats", "warnings")}
    texts |= {name: {EVIL: EVIL} for name in ("versions", "reasons")}
    texts["roles"] = record["roles"] | {EVIL: "nuisance"}
    sizes = {"train": 1, EVIL: 1}
    texts["examples"] = {"mode": "materialized", "sources": dict.fromkeys(sizes, EVIL), "num_examples": sizes}
    texts["examples"] |= {"num_bytes": sizes, "skipped": [EVIL], "overlaps": [EVIL], "preprocessed": EVIL}
    texts["workload"] = {"module": EVIL, "name": EVIL, "settings": {EVIL: EVIL}, "source_hash": EVIL}
    file.write_text(json.dumps(record | texts))
    store.write_notes(EVIL)
    store.storage.write(f"{store.name}/{store.studies()[0].name}/logs/00000.1.{EVIL.replace('/', '')}.log", b"")
    html = Path(write_page(store)).read_text()
    page = Page(html)
    assert not re.search(r"<img|<shapes>|<b>x|<script>alert", html)
    assert not any(tag == "img" for tag, *_ in page.attributes)
    assert page.text.count(EVIL) >= 16
    assert "mode=<b>x<b>/00000" in {trial["name"] for trial in page.data["trials"]}
    # plotly reads mark-up in every text of a figure
    texts = [
        text
        for figure in page.data["figures"].values()
        for text in figure["layout"].get("xaxis", {}).get("ticktext", [])
    ]
    assert "&lt;b&gt;x&lt;b&gt;" in texts and "<b>x<b>" not in texts


def test_no_template_trusts_a_text_that_is_not_its_own():
    templates = {file.name: file.read_text() for file in Path(page_module.__file__).parent.glob("templates/*")}
    assert "page.html.j2" in templates
    trusted = {
        (name, text) for name, source in templates.items() for text in re.findall(r"([^\s(]+)\s*\|\s*safe\b", source)
    }
    assert {text for _, text in trusted} == {'"<br>"', '"_<wbr>"', '"time/<wbr>"', '"=<wbr>"', '"/<wbr>"'}
    assert not any("autoescape" in source for source in templates.values())


def test_a_template_that_names_what_its_view_lacks_is_an_error(make_round):
    store = make_round(trials_per_arm=1)
    page = page_view(read_insight(store), Extras())
    assert "norms-1" in render(page)
    with pytest.raises(UndefinedError, match="goal"):
        render(replace(page, header=SimpleNamespace(name="norms-1")))


ODD_ROUNDS = {
    "running": {"state": "running", "outcomes": lambda arm, i: ["completed", "running", "missing"][min(i, 2)]},
    "not started": {"state": None, "outcomes": lambda arm, i: "missing"},
    "all infeasible": {"outcomes": lambda arm, i: "infeasible"},
    "all failed": {"outcomes": lambda arm, i: "failed"},
    "one study": {"arms": [{}]},
    "nothing varied": {"arms": [{}], "space": {}},
    "no measurements": {"measured": False},
    "one trial": {"arms": [{}], "trials_per_arm": 1},
}


@pytest.mark.parametrize("options", ODD_ROUNDS.values(), ids=ODD_ROUNDS)
def test_unusual_rounds_have_a_page(make_round, options):
    page = Page(Path(write_page(make_round(**{"trials_per_arm": 4} | options))).read_text())
    assert "How to reproduce it" in page.text
    places = {value for tag, name, value in page.attributes if (tag, name) == ("div", "id")}
    assert set(page.data["figures"]) <= places


def test_a_round_without_any_trial_says_that_there_is_nothing_to_draw(make_round):
    page = Page(Path(write_page(make_round(**ODD_ROUNDS["not started"]))).read_text())
    assert "No trial has left anything to draw yet." in page.text
    assert "no completed trial" in page.text


def test_a_round_of_infeasible_trials_shows_where_they_lie(make_round):
    page = Page(Path(write_page(make_round(trials_per_arm=4, **ODD_ROUNDS["all infeasible"]))).read_text())
    assert page.text.count("no completed trial") == 3
    axis = page.data["figures"]["axis-1"]
    assert {trace["meta"].get("role") for trace in axis["data"]} == {None, "infeasible"}


def test_running_round_shows_the_streams_so_far(make_round):
    page = Page(Path(write_page(make_round(**ODD_ROUNDS["running"]))).read_text())
    lines = page.data["figures"]["curves-0"]["data"]
    running = [trace for trace in lines if trace["meta"].get("trial") == "batch_norm=sync/00001"]
    assert [trace["x0"] + trace["dx"] * (len(trace["y"]) - 1) for trace in running] == [200, 200]


def test_numbers_that_are_none_are_no_error(mixed_round):
    insight: Insight = read_insight(mixed_round)
    odd = {"learning_rate": float("nan"), "dropout": float("inf"), "momentum": -float("inf")}
    trials = tuple(replace(trial, values={**trial.values, **odd}) for trial in insight.evidence.trials)
    evidence = replace(insight.evidence, trials=trials)
    page = Page(render_page(replace(insight, evidence=evidence), Extras()))
    assert {trial["values"]["dropout"] for trial in page.data["trials"]} == {"inf"}


def test_the_verdict_is_said_in_a_word_whatever_it_is(mixed_round):
    insight = found_by_hand(read_insight(mixed_round))
    for verdict in Verdict:
        answer = replace(insight.answer, verdict=verdict)
        assert f"Answer {verdict}" in Page(render_page(replace(insight, answer=answer), Extras())).text


def test_no_round_no_page(tmp_path):
    with pytest.raises(StorageError, match="Round 'absent' must be in the storage"):
        write_page(RoundStore(Storage(str(tmp_path)), "absent"))
    assert list(tmp_path.iterdir()) == []


def test_the_page_of_a_procedures_round_says_of_which_with_its_command_and_links_to_what_it_came_to(make_round):
    part = make_round(name="norms-1-stability-sweep", trials_per_arm=2, part_of=STABILITY)
    page = Page(Path(write_page(part)).read_text())
    said = "This round is part of stability of norms-1, which says what it came to and what to do next:"
    assert f"{said} raytune-playbook stability norms-1" in page.text
    target = "../../norms-1/report/index.html#procedure-stability"
    assert target not in [value for _, name, value in page.attributes if name == "href"]  # there is no such page
    assert "raytune-playbook propose" not in page.text and "raytune_playbook.propose" not in page.text
    assert "job file jobs/norms.py" in page.text
    make_round(trials_per_arm=2)
    page = Page(Path(write_page(part)).read_text())
    assert target in [value for _, name, value in page.attributes if name == "href"]
    assert (
        "This round is part of" not in Page(Path(write_page(make_round(name="own", trials_per_arm=2))).read_text()).text
    )
