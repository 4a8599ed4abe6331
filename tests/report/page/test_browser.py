"""The page in a real browser: what is drawn, what answers, where links lead, and for whom it can be read."""

from __future__ import annotations

import ast
import json
import re
import sys
from importlib.resources import files

import pytest

from raytune_playbook.engine.jobs.job_file import load_job
from raytune_playbook.report.figures.training_curves import smoothed
from raytune_playbook.report.figures.value_axis import value_axis
from raytune_playbook.study.settings import Objective

TRIAL = "batch_norm=sync/00003"
HASH = "#trial=batch_norm%3Dsync%2F00003"

DRAWN = "id => document.getElementById(id).classList.contains('drawn')"
IS_SEEN = """element => {
    const box = element.getBoundingClientRect();
    const top = document.elementFromPoint(box.left + box.width / 2, box.top + Math.min(box.height / 2, 10));
    return top !== null && (element.contains(top) || top.contains(element));
}"""
"""Whether an element's middle is in the window, with nothing over it."""


def draw(page, *names: str) -> None:
    """Scroll to plots, which draws them."""
    for name in names:
        page.locator(f"#{name}").scroll_into_view_if_needed()
        page.wait_for_function(DRAWN, arg=name)


def traces(page, name: str) -> list[dict]:
    """What plotly was given, with its own copies left out."""
    return page.evaluate(
        "id => document.getElementById(id).data.map(({meta, y, customdata, mode}) => ({meta, y, customdata, mode}))",
        name,
    )


def click_mark(page, plot: str, trial: str) -> None:
    """Click a trial's mark where it is on the screen."""
    place = page.evaluate(
        """([id, trial]) => {
            const plot = document.getElementById(id);
            for (const [number, trace] of plot.calcdata.entries()) {
                const at = plot.data[number].customdata?.indexOf(trial) ?? -1;
                if (at < 0) continue;
                const full = plot._fullData[number];
                const [x, y] = ["x", "y"].map((a) => plot._fullLayout[full[`${a}axis`].replace(a, `${a}axis`)]);
                const box = plot.getBoundingClientRect();
                const given = plot.data[number];
                return [box.left + x._offset + x.d2p(given.x[at]), box.top + y._offset + y.d2p(given.y[at])];
            }
        }""",
        [plot, trial],
    )
    page.mouse.move(*place)
    page.mouse.click(*place)


def test_in17_every_plot_is_drawn_as_it_comes_into_view(opened):
    with opened() as found:
        page = found.page
        names = page.evaluate("[...document.querySelectorAll('#round .plot')].map(plot => plot.id)")
        assert {
            "axis-0",
            "axis-4",
            "curves-0",
            "steps-gradient-norm",
            "gradient-norms",
            "best-so-far",
            "best-steps",
            "parallel",
        } <= set(names)
        assert page.locator(".plot.drawn").count() < len(names)  # not all at once
        draw(page, *names)
        assert page.locator(".plot .main-svg:first-child").count() == len(names)
        points = page.evaluate(
            "[...document.querySelectorAll('#axes .plot')].map(plot => plot.querySelectorAll('.point').length)"
        )
        assert points == [27] * 5  # 24 trials, three of them with a ring


def test_pointing_at_a_mark_tells_the_trial_and_a_click_leads_to_it(opened):
    with opened() as found:
        page = found.page
        draw(page, "axis-1")
        infeasible = "batch_norm=sync/00002"
        click_mark(page, "axis-1", infeasible)
        page.wait_for_url(re.compile("#trial="))
        assert page.locator("#trial h1").text_content() == f"◆Trial {infeasible}"
        assert "diverged: training loss 80.1 exceeds 2 x 2.34" in page.locator("#trial").text_content()
        page.go_back()
        page.locator("#axis-1").hover(position={"x": 1, "y": 1})
        place = page.evaluate("""() => {
            const plot = document.getElementById("axis-1");
            const isIt = ({ customdata, yaxis }) => yaxis === "y2" && customdata.includes("batch_norm=sync/00002");
            const number = plot.data.findIndex(isIt);
            Plotly.Fx.hover(plot, [{ curveNumber: number, pointNumber: 0 }], ["xy2"]);
        }""")
        assert place is None
        told = page.locator("#axis-1 .hoverlayer").text_content()
        for part in (
            infeasible,
            "batch_norm = sync",
            "learning_rate = 0.7845",
            "infeasible: diverged: training loss 80.1",
        ):
            assert part in told


def test_a_trials_view_is_seen_whole_and_back_leads_to_where_one_was(opened):
    with opened() as found:
        page = found.page
        row = page.locator(f"tr[data-trial='{TRIAL}'] a")
        row.scroll_into_view_if_needed()
        before = page.evaluate("scrollY")
        row.click()
        page.wait_for_selector("#trial h1")
        assert page.locator("#round").is_hidden()
        assert page.locator("#trial h1").evaluate(IS_SEEN)
        assert page.evaluate("document.activeElement.tagName") == "H1"  # a screen reader reads on there
        assert TRIAL in page.title()
        page.go_back()
        page.wait_for_selector("#trial", state="hidden")
        assert page.evaluate("scrollY") == before
        assert row.evaluate(IS_SEEN)
        assert row.evaluate("link => link === document.activeElement")


def test_a_trials_view_tells_values_curves_outcome_logs_and_findings(opened):
    with opened(anchor=HASH) as found:
        page = found.page
        text = page.locator("#trial").inner_text()
        assert "number 2 of 20 completed trials" in text and "0.01 behind the best" in text
        differing = page.locator("#trial tr.differs").all_inner_texts()
        assert [row.split() for row in differing] == [["batch_norm", "sync", "device"]]  # both have point 3
        assert "Is the search space large enough?" in text  # points to it
        assert re.search(r"validation error\s+0.03122 at 300\s+0.9 at 0", text)
        page.wait_for_function("() => document.querySelectorAll('#trial .plot.drawn').length === 4")
        shown = page.evaluate("[...document.querySelector('#trial .plot').data].map(({meta}) => meta.trial)")
        assert {TRIAL, "batch_norm=device/00003"} == set(shown)  # its own, and the best trial's behind them
        logs = page.locator("#trial dd a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
        assert logs == ["../batch_norm%3Dsync/logs/00003.1.0.log"]
        page.locator("#trial a", has_text="Is the search space").click()
        assert page.locator("article.problem").evaluate(IS_SEEN)
    with opened(anchor="#trial=batch_norm%3Dghost%2F00003") as found:
        assert "ValueError: <shapes> differ" in found.page.locator("#trial pre.traceback").inner_text()
    with opened(anchor="#trial=absent%2F0") as found:
        assert "The round has no trial absent/0." in found.page.locator("#trial").inner_text()


def test_how_to_load_and_rerun_a_trial_are_programs_that_work(opened, mixed_round, tmp_path, monkeypatch):
    with opened(anchor=HASH) as found:
        load, again = found.page.locator("#trial .command pre").all_inner_texts()
        values = found.page.evaluate("JSON.parse(document.getElementById('page-data').textContent).trials")
    calls = [node for node in ast.walk(ast.parse(load)) if isinstance(node, ast.Call)]
    assert [ast.literal_eval(each) for each in calls[0].args] == ["norms-1", TRIAL]
    assert ast.literal_eval(calls[0].keywords[0].value) == mixed_round.storage.uri
    (tmp_path / "norms.py").write_text(
        "from raytune_playbook import Budget, Categorical, Float, Round\n"
        "from raytune_playbook.workloads.digits import DigitsResNet\n"
        "round = Round(name='norms-1', goal='?', workload=DigitsResNet(), fixed={'width': 8},\n"
        "    scientific={'batch_norm': Categorical(['device', 'sync'])},\n"
        "    nuisance={'learning_rate': Float(1e-4, 1.0, scale='log'), 'momentum': Float(0.8, 0.999),\n"
        "              'dropout': Float(0.0, 0.5), 'schedule': Categorical(['cosine', 'linear'])},\n"
        "    budget=Budget(num_trials=4, max_train_steps=20, evaluation_interval_steps=10))\n"
    )
    (tmp_path / "again.py").write_text(again)
    monkeypatch.syspath_prepend(tmp_path)
    round_ = load_job(tmp_path / "again.py").round
    sys.modules.pop("norms", None)
    (study,) = round_.studies
    (trial,) = [each for each in values if each["name"] == TRIAL]
    assert (study.space, study.num_trials, study.fixed["width"]) == ({}, 1, 8)
    assert {name: study.fixed[name] for name in trial["values"]} == trial["values"]


def test_links_to_folded_findings_open_them(opened):
    with opened() as found:
        page = found.page
        anchor = page.locator("article.passes").get_attribute("id")
        assert page.locator("article.passes").is_hidden()
        page.evaluate("anchor => { location.hash = anchor; }", anchor)
        page.wait_for_function("() => document.querySelector('article.passes').checkVisibility()")
        assert page.locator("article.passes").evaluate(IS_SEEN)


def test_what_links_lead_to_is_not_under_the_toolbar(opened):
    with opened() as found:
        page = found.page
        draw(page, "parallel")  # all of the page has its height
        for anchor in ("curves", "axes", "trials", "parallel-section"):
            page.evaluate("anchor => { location.hash = anchor; }", anchor)
            page.wait_for_timeout(0)
            assert page.locator(f"#{anchor} :is(h2, h3)").first.evaluate(IS_SEEN), anchor
            toolbar = page.locator(".toolbar").bounding_box()
            assert toolbar["y"] <= 1  # it sticks


def test_in5_curves_of_the_best_then_of_all_without_a_study_smoothed(opened):
    with opened() as found:
        page = found.page
        draw(page, "curves-0")
        lines = lambda: [each["meta"] for each in traces(page, "curves-0") if each["mode"] == "lines"]  # noqa: E731
        assert len({meta["trial"] for meta in lines()}) == 9
        page.locator("[data-curves=all]").click()
        page.wait_for_function("() => document.getElementById('curves-0').data.length > 27")
        assert len({meta["trial"] for meta in lines()}) == 24
        page.locator("button[data-study='batch_norm=sync']").click()
        assert {meta["study"] for meta in lines()} == {"batch_norm=device", "batch_norm=ghost"}
        rough = traces(page, "curves-0")[0]["y"]
        page.locator("#smoothing").fill("0.8")
        # First all lines as they were measured, then all of them smoothed.
        smooth = [each["y"] for each in traces(page, "curves-0") if each["mode"] == "lines"][len(lines()) // 2]
        expected, mean = [], 0.0
        for number, value in enumerate(rough, 1):
            mean = 0.8 * mean + 0.2 * value
            expected.append(mean / (1 - 0.8**number))
        assert smooth == pytest.approx(expected)
        # As in files, a gap stays one and changes nothing behind it.
        with_gap = [1.0, 3.0, None, 2.0]
        script = files("raytune_playbook.report.page").joinpath("script/curves.js").read_text()
        (function,) = re.findall(r"^function smoothed.*?^}", script, re.DOTALL | re.MULTILINE)
        found_by_page = page.evaluate(f"values => ({function})(values, 0.8)", with_gap)
        assert found_by_page == pytest.approx(smoothed(with_gap, 0.8))
        page.locator("#curve-scale").select_option("log")
        assert page.evaluate("document.getElementById('curves-0').layout.yaxis.type") == "log"
        page.locator("#curve-scale").select_option("whole")
        assert page.evaluate("document.getElementById('curves-0').layout.yaxis.type") == "linear"


def test_qr5_another_objective_judges_table_axis_isolation_and_progress(opened, found_page_file, tmp_path):
    page_data = re.compile(r'(?<=id="page-data">).*?(?=</script>)', re.DOTALL)
    text = found_page_file.read_text()
    data = json.loads(page_data.search(text).group())
    (loss,) = [each for each in data["candidates"] if (each["split"], each["metric"]) == ("train", "loss")]
    loss["last"]["values"][5] = 1e9  # far from all others
    far = json.dumps(data).replace("<", "\\u003c")
    (tmp_path / "index.html").write_text(page_data.sub(lambda _: far, text))
    with opened(tmp_path / "index.html") as found:
        page = found.page
        draw(page, "axis-1", "best-so-far")
        page.locator("#judge-metric").select_option(label="train loss")
        page.locator("#judge-over").select_option("last")
        notice = page.locator("#judged-otherwise").inner_text()
        assert "are judged by the train loss at the end of training; the lowest is best" in notice
        assert "The answer, the findings and all other plots are for the round's objective" in notice
        assert "--objective loss --split train --over last --minimize" in notice
        judged = {each["name"]: value for each, value in zip(data["trials"], loss["last"]["values"], strict=True)}
        heights = {
            name: y
            for trace in traces(page, "axis-1")
            if trace["meta"].get("role") == "point"
            for name, y in zip(trace["customdata"], trace["y"], strict=True)
        }
        points = {name: value for name, value in judged.items() if value is not None}
        # The same axis as Python makes for the round's own objective, and its note.
        axis = value_axis(list(points.values()), Objective(metric="loss", split="train", over="last"))
        assert axis.num_beyond == 1
        assert heights == pytest.approx({name: axis.height(value) for name, value in points.items()})
        of_axis = "(({ layout }) => [layout.yaxis.range, layout.annotations.map(({ text }) => text)])"
        ends, notes = page.evaluate(f"{of_axis}(document.getElementById('axis-1'))")
        assert ends == pytest.approx(axis.layout["range"])
        assert notes == [note["text"] for note in axis.notes()]
        (ring,) = [
            t
            for t in traces(page, "axis-1")
            if t["meta"].get("role") == "ring" and t["meta"]["study"].endswith("ghost")
        ]
        ghosts = {name: value for name, value in points.items() if "ghost" in name}
        assert ring["customdata"] == [min(ghosts, key=ghosts.__getitem__)]
        so_far = traces(page, "best-so-far")[0]["y"]
        assert so_far == [so_far[0]] + [min(so_far[place], so_far[place + 1]) for place in range(len(so_far) - 1)]
        rows = page.locator("#all-trials tbody tr").evaluate_all("rows => rows.map(row => row.dataset.trial)")
        assert rows[:20] == sorted(points, key=points.__getitem__)
        assert page.locator("#all-trials th[aria-sort]").inner_text().startswith("train loss")
        page.locator("#judge-metric").select_option(label="validation error")
        page.locator("#judge-over").select_option("best")
        assert page.locator("#judged-otherwise").is_hidden()
        assert page.locator("#all-trials tbody tr").first.get_attribute("data-trial") == "batch_norm=device/00003"


def test_the_table_is_sorted_best_first_filters_and_sorts(opened):
    with opened() as found:
        page = found.page
        rows = page.locator("#all-trials tbody tr")
        column = lambda: [float(text) for text in rows.locator("td:nth-child(4)").all_inner_texts() if text != "—"]  # noqa: E731
        assert column() == sorted(column()) and len(column()) == 20
        assert rows.last.locator("td:nth-child(3)").inner_text() == "failed"
        head = page.locator("#all-trials th button", has_text="validation error")
        head.click()
        assert column() == sorted(column(), reverse=True)
        assert rows.last.locator("td:nth-child(4)").inner_text() == "—"  # absent values last, either way
        page.locator("#filter").fill("sync infeasible")
        assert [row.get_attribute("data-trial") for row in rows.all()] == ["batch_norm=sync/00002"]
        assert page.locator("#num-shown").inner_text() == "1 of 24 trials"
        page.locator("#filter").fill("nothing like it")
        assert rows.count() == 0


@pytest.mark.parametrize("anchor", ["", HASH], ids=["round", "trial"])
def test_on_a_phone_only_tables_scroll_sideways_and_say_so(opened, anchor):
    with opened(anchor=anchor, viewport={"width": 390, "height": 800}) as found:
        page = found.page
        if anchor:
            page.wait_for_function("() => document.querySelectorAll('#trial .plot.drawn').length === 4")
        else:
            draw(page, "axis-0", "parallel")
            assert page.locator("#answer .scroll + .scroll-hint").first.is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_dark_and_print_have_colours_of_their_own(opened):
    lightness = "colour => { const [r, g, b] = colour.match(/\\d+/g).map(Number); return (r + g + b) / 765; }"
    with opened(color_scheme="dark") as found:
        page = found.page
        draw(page, "axis-1")
        light = lambda selector, name: page.evaluate(  # noqa: E731
            f"([selector, name]) => ({lightness})(getComputedStyle(document.querySelector(selector))[name])",
            [selector, name],
        )
        before = light("#axis-1 .point", "fill")
        assert light("body", "backgroundColor") < 0.2 < 0.8 < light("#axis-1 .xtick text", "fill")
        page.emulate_media(media="print")
        page.wait_for_function(
            "() => document.querySelectorAll('#round .plot:not(.drawn)').length === 0"
        )  # all are printed
        page.wait_for_function(
            f"() => ({lightness})(getComputedStyle(document.querySelector('#axis-1 .xtick text')).fill) < 0.3"
        )
        assert light("body", "backgroundColor") > 0.9
        assert light("#axis-1 .point", "fill") < before
        assert page.locator(".toolbar").is_hidden()
        assert page.locator("article.passes").is_visible()  # paper does not unfold


@pytest.mark.parametrize("anchor", ["", HASH], ids=["round", "trial"])
def test_axe_finds_no_serious_fault(opened, anchor):
    axe = pytest.importorskip("axe_core_python", reason="needs axe-core-python to look for what keeps readers out")
    source = files(axe).joinpath("axe.min.js").read_text(encoding="utf-8")
    with opened(anchor=anchor) as found:
        page = found.page
        if not anchor:
            draw(page, "isolation-0", "curves-0", "parallel")
            page.locator("#findings details").evaluate_all("folds => folds.forEach(fold => { fold.open = true; })")
        page.evaluate(source)
        assert serious_faults(page, "{}") == []
        # A theme changes nothing but colours.
        page.emulate_media(color_scheme="dark")
        page.wait_for_function("() => getComputedStyle(document.body).backgroundColor !== 'rgb(255, 255, 255)'")
        assert serious_faults(page, "{ runOnly: ['color-contrast'] }") == []


def serious_faults(page, options: str) -> list[tuple[str, list[str]]]:
    """Of axe's rules: each with the elements at fault."""
    faults = page.evaluate(
        f"axe.run({{ resultTypes: ['violations'], ...{options} }}).then(({{ violations }}) => violations)"
    )
    return [
        (fault["id"], [node["html"][:200] for node in fault["nodes"][:3]])
        for fault in faults
        if fault["impact"] in ("serious", "critical")
    ]


def test_the_page_works_by_keyboard_alone(opened):
    with opened() as found:
        page = found.page
        button = page.locator("button.study").first
        button.focus()
        page.keyboard.press("Space")
        assert button.get_attribute("aria-pressed") == "false"
        assert page.locator("#all-trials tbody tr[data-study='batch_norm=device']").count() == 0
        link = page.locator("#all-trials tbody a").first
        link.focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("#trial h1")


def test_a_round_of_another_tool_works_without_curves_and_commands(opened, bare_page_file):
    with opened(bare_page_file) as found:
        page = found.page
        assert page.locator(".judge").is_hidden()
        draw(page, "axis-1")
        page.locator("#all-trials tbody a").first.click()
        page.wait_for_selector("#trial h1")
        text = page.locator("#trial").inner_text()
        assert "No curves of it were recorded." in text
        assert "load_model" not in text and "Run it again" not in text


def test_ck4_trials_that_were_stopped_early_are_judged_by_any_objective_without_a_best_step(opened, pruned_page_file):
    with opened(pruned_page_file) as found:
        page = found.page

        def table() -> list[tuple[str, str, str]]:
            rows = page.locator("#all-trials tbody tr")
            texts = rows.evaluate_all("rows => rows.map(({ cells }) => [...cells].map((cell) => cell.innerText))")
            return [
                (trial.rpartition("/")[2].lstrip("0") or "0", value, step) for _, trial, _, value, step, *_ in texts
            ]

        full = lambda step: f"{step} of 4"  # noqa: E731
        assert table() == [
            ("1", "0.25", full(4)), ("4", "0.28", "—"), ("0", "0.3", full(4)), ("2", "0.35", "—"), ("3", "—", "—"),
        ]  # fmt: skip
        page.locator("#judge-over").select_option("best")
        by_the_best = [
            ("2", "0.15", "—"),
            ("0", "0.2", full(3)),
            ("1", "0.25", full(4)),
            ("4", "—", "—"),
            ("3", "—", "—"),
        ]
        assert table() == by_the_best
        draw(page, "isolation-0")
        best = [each["customdata"][0] for each in traces(page, "isolation-0") if each["meta"].get("role") == "best"]
        assert [name.rpartition("/")[2] for name in best] == ["00002", "00001"]
        views, badges = {}, {}
        for number in "23401":
            page.locator("#all-trials tbody tr a").nth([row[0] for row in by_the_best].index(number)).click()
            page.wait_for_selector("#trial h1")
            views[number] = page.locator("#trial").inner_text()
            badges[number] = page.locator("#trial .badge").inner_text()
            page.locator("#trial .back a").click()
            page.wait_for_selector("#trial", state="hidden")
        assert re.search(r"value 0.15 · number 1 of 3 completed trials$", views["2"], re.MULTILINE)
        assert "How it ended" in views["2"] and "stopped early at step 3 of 4" in views["2"]
        assert re.search(r"value 0.2 at step 3 · number 2 of 3 completed trials · 0.05 behind the best", views["0"])
        assert "How it ended" not in views["0"]
        by_outcome = ["stopped early", "completed", "completed", "completed", "infeasible"]
        assert [badges[row[0]] for row in by_the_best] == by_outcome
        assert page.locator("#all-trials tbody .badge").all_inner_texts() == by_outcome
        assert (
            "Why it is infeasible" in views["3"]
            and "NaN" in views["3"]
            and "number" not in views["3"].split("Values")[0]
        )
        assert "completed trials" not in views["4"] and "at step" not in views["4"].split("Values")[0]
        page.locator("#judge-goal").select_option("maximize")
        assert [row[:2] for row in table()] == [("0", "0.9"), ("1", "0.8"), ("2", "0.7"), ("4", "—"), ("3", "—")]
