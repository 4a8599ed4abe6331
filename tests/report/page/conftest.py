"""A real browser, and pages in it."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from raytune_playbook.report.foreign.read import read_optuna
from raytune_playbook.report.page.extras import Extras, read_extras
from raytune_playbook.report.page.page import read_insight, render_page
from tests.report.page.by_hand import found_by_hand

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium as the system has it; where it or playwright is missing, tests are skipped.

    It closes with its module: playwright refuses a second one beside it in the same process.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright to look at the page")
    chromium = next(filter(None, map(shutil.which, NAMES)), None)
    if chromium is None:
        pytest.skip("needs Chromium to draw the page")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=arguments)
        yield opened
        opened.close()


@dataclass
class Opened:
    """A page in the browser, and what it complained of."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)


def _is_elsewhere(url: str, path: Path) -> bool:
    """Whether a request is for anything but the page itself and what it makes in memory."""
    return not url.startswith(("data:", "blob:")) and url.partition("#")[0] != path.as_uri()


@pytest.fixture
def opened(browser, found_page_file) -> Callable[..., object]:
    """Opens a page, by itself the one with findings; fails where it logs an error or wants anything from elsewhere."""

    @contextmanager
    def open_(path: Path = found_page_file, anchor: str = "", **context: object) -> Iterator[Opened]:
        options = {"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce"} | context
        with browser.new_context(**options) as one:
            page = one.new_page()
            found = Opened(page, f"{path.as_uri()}{anchor}")
            page.on("console", lambda said: found.complaints.append(said.text) if said.type != "info" else None)
            page.on("pageerror", lambda error: found.complaints.append(str(error)))
            page.on(
                "request", lambda asked: found.complaints.append(asked.url) if _is_elsewhere(asked.url, path) else None
            )
            page.goto(found.url)
            page.wait_for_selector("html.ready")
            yield found
            assert found.complaints == []  # a violation of the page's policy is one, too

    return open_


@pytest.fixture(scope="session")
def found_page_file(mixed_round, tmp_path_factory) -> Path:
    """The mixed round's page, with findings by hand."""
    insight = found_by_hand(read_insight(mixed_round))
    extras = read_extras(mixed_round, insight)
    path = tmp_path_factory.mktemp("page") / "norms-1" / "report" / "index.html"
    path.parent.mkdir(parents=True)
    path.write_text(render_page(insight, extras))
    return path


@pytest.fixture(scope="session")
def bare_page_file(mixed_round, tmp_path_factory) -> Path:
    """The same round as another tool would leave it: no curves, no logs, no commands."""
    insight = read_insight(mixed_round)
    path = tmp_path_factory.mktemp("bare") / "index.html"
    path.write_text(render_page(replace(insight, evidence=replace(insight.evidence, curves={})), Extras()))
    return path


@pytest.fixture(scope="session")
def pruned_page_file(tmp_path_factory) -> Path:
    """A page of what Optuna recorded: trial 2 was pruned, 3 ended in NaN, of 4 nothing but its value is known."""
    optuna = pytest.importorskip("optuna", reason="needs optuna to have trials that were stopped early")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = {
        "optimizer": optuna.distributions.CategoricalDistribution(["sgd", "adam"]),
        "learning_rate": optuna.distributions.FloatDistribution(1e-3, 1.0, log=True),
    }
    states = optuna.trial.TrialState
    ended = [
        (states.COMPLETE, [0.9, 0.5, 0.2, 0.3], 0.3),
        (states.COMPLETE, [0.8, 0.6, 0.4, 0.25], 0.25),
        (states.PRUNED, [0.7, 0.15, 0.35], None),
        (states.FAIL, [0.9, math.nan], None),
        (states.COMPLETE, [], 0.28),
    ]
    study = optuna.create_study(study_name="pruned")
    for number, (state, values, value) in enumerate(ended):
        params = {"optimizer": ["sgd", "adam"][number % 2], "learning_rate": 0.003 * 3**number}
        study.add_trial(
            optuna.trial.create_trial(
                state=state,
                value=value,
                params=params,
                distributions=space,
                intermediate_values=dict(enumerate(values)),
            )
        )
    return read_optuna(study, scientific="optimizer").report(tmp_path_factory.mktemp("pruned") / "index.html")
