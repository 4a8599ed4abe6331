"""The page in a real browser: plots are drawn, and answer to clicks."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from raytune_playbook.report.page.page import write_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium to draw the page")

PROBE = """
<script>
addEventListener("securitypolicyviolation", (event) => violations.push(event.blockedURI));
const violations = [], wait = (ms) => new Promise((done) => setTimeout(done, ms));
const visible = () => [...document.querySelectorAll("#curves .scatterlayer .trace")].length;
const rows = () => [...document.querySelectorAll("#trials tbody tr")];
(async () => {
  while (!document.documentElement.classList.contains("drawn")) await wait(20);
  const found = { plots: document.querySelectorAll(".js-plotly-plot .main-svg:first-child").length };
  const axes = [...document.querySelectorAll("#axes .js-plotly-plot")];
  found.points = axes.map((plot) => plot.querySelectorAll(".point").length);
  const axis = document.getElementById("axis-1");
  const curve = axis.data.findIndex((trace) => (trace.customdata || []).includes("batch_norm=sync/00002"));
  const point = axis.data[curve].customdata.indexOf("batch_norm=sync/00002");
  Plotly.Fx.hover(axis, [{ curveNumber: curve, pointNumber: point }], ["xy2"]);
  await wait(100);
  found.hover = axis.querySelector(".hoverlayer").textContent;
  found.tracesOfBest = visible();
  document.querySelector("[data-curves=all]").click();
  await wait(300);
  found.tracesOfAll = visible();
  document.querySelector("[data-study='batch_norm=sync']").click();
  await wait(300);
  found.tracesWithoutSync = visible();
  found.rowsWithoutSync = rows().filter((row) => !row.hidden).length;
  const head = [...document.querySelectorAll("#trials th button")].find((b) => b.textContent === "validation error");
  const column = () => rows().map((row) => row.cells[3].textContent);
  head.click();
  found.ascending = column();
  head.click();
  found.descending = column();
  found.wide = document.documentElement.scrollWidth > innerWidth;
  found.violations = violations;
  const result = Object.assign(document.createElement("output"), { id: "probe", textContent: JSON.stringify(found) });
  document.body.append(result);
})();
</script></body>"""


def in_browser(page: Path, profile: Path) -> dict[str, object]:
    """What the probe found in the page."""
    probed = page.with_name("probed.html")
    probed.write_text(page.read_text().replace("</body>", PROBE))
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={profile}", "--window-size=1366,768", "--virtual-time-budget=20000", "--dump-dom",
        probed.as_uri(),
    ]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    match = re.search(r'<output id="probe">(.*?)</output>', dom)
    assert match, dom[-2000:]
    return json.loads(unescape(match[1]))


def test_in17_plots_are_drawn_and_answer(make_round, tmp_path):
    store = make_round(outcomes=lambda arm, i: "infeasible" if i == 2 else "completed")
    found = in_browser(Path(write_page(store)), tmp_path / "profile")
    assert found["plots"] == 9  # five hyperparameters, four kinds of curves
    assert found["points"] == [27] * 5  # 24 trials, three of them with a ring
    for part in ("00002", "batch_norm=sync", "learning_rate = 0.7845", "infeasible: diverged: training loss 80.1"):
        assert part in found["hover"]
    # Two lines and a dot per trial in the first, two in the second, one in the others: nine trials, then all.
    assert found["tracesOfBest"] == 9 * 7
    assert found["tracesOfAll"] == 9 * 7 + 15 * 6
    assert found["tracesWithoutSync"] == 6 * 7 + 10 * 6
    assert found["rowsWithoutSync"] == 16
    numbers = [float(text) for text in found["ascending"][:21]]
    assert numbers == sorted(numbers)
    assert found["ascending"][21:] == ["—"] * 3 == found["descending"][21:]
    assert [float(text) for text in found["descending"][:21]] == numbers[::-1]
    assert found["wide"] is False  # wide tables scroll on their own
    assert found["violations"] == []
