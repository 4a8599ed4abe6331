"""What the page says of where the time of a step goes, and the terminal's line about it (rules PI1, PI4)."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

from rich.console import Console

from raytune_playbook.records.store import RoundStore
from raytune_playbook.report.page.page import write_page
from raytune_playbook.report.page.views.input_pipeline import InputPipelineView, input_pipeline_view
from raytune_playbook.report.reading import read_profiles, read_round
from raytune_playbook.report.terminal import summary

FINDING = "Training is input-bound: 16% of the steps' time is spent waiting for batches"


def view_of(store: RoundStore) -> InputPipelineView:
    reading = read_round(store)
    view = input_pipeline_view(reading, read_profiles(store, reading.studies))
    assert view is not None
    return view


def test_pi1_shares_are_told_per_scientific_value_and_for_all(make_round):
    # Trials of 400 steps that take 20 s: 50 ms each.
    view = view_of(make_round(outcomes=lambda arm, i: "infeasible" if i == 2 else "completed"))
    heads = ("waiting for data", "copy to device", "augmentation", "synchronization", "computing")
    assert view.part_heads == heads
    assert view.input_bound_share == "10%"
    device, _, ghost, whole = view.rows
    assert (device.arm, device.step, device.works) == ("device", "50 ms", "read 2.5 ms, decode 9 ms, collate 2.5 ms")
    assert device.shares == ("2.0%", "1.2%", "3.8%", "10.0%", "83.0%")
    assert (ghost.arm, ghost.shares) == ("ghost", ("30.0%", "1.2%", "3.8%", "10.0%", "55.0%"))
    assert (whole.study, whole.arm, whole.shares) == (None, "all trials", ("11.0%", "1.2%", "3.8%", "10.0%", "74.0%"))


def test_pi1_the_finding_is_a_warning_on_the_page_and_a_line_in_the_terminal(make_round):
    store = make_round()
    page = Path(write_page(store)).read_text()
    (warning,) = re.findall(r'<section id="input">\n<details open>.*?<p class="warning">(.*?)</p>', page, re.DOTALL)
    assert unescape(warning).startswith(FINDING)
    assert "decode" in warning
    console = Console(width=400, highlight=False)
    with console.capture() as captured:
        console.print(summary(store))
    assert FINDING in captured.get()


def test_pi1_without_much_waiting_there_is_no_warning(make_round):
    view = view_of(make_round(arms=[{"batch_norm": "device"}]))  # 7%
    assert [(row.arm, row.step, row.shares[0]) for row in view.rows] == [("device", "50 ms", "2.0%")]
    assert view.finding is None


def test_pi4_traces_are_linked(make_round):
    store = make_round(trials_per_arm=1)
    name = "00000.steps-2-3.rank0.json.gz"
    store.storage.write(f"{store.name}/batch_norm=sync/profiles/{name}", b"")
    page = Path(write_page(store)).read_text()
    assert f'<a href="../batch_norm%3Dsync/profiles/{name}">batch_norm=sync/profiles/{name}</a>' in page


def test_rounds_that_tell_nothing_have_no_section(make_round):
    page = Path(write_page(make_round(outcomes=lambda arm, i: "failed"))).read_text()
    assert 'id="trials"' in page
    assert 'id="input"' not in page
