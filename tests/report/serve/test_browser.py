"""Served pages in a real browser: they refresh themselves, and leave whoever reads them where he is."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from playwright.sync_api import Page, sync_playwright

from raytune_playbook.records.storage import Storage
from raytune_playbook.report.serve.access import Access, own_names
from raytune_playbook.report.serve.application import application
from tests.ports import free_port
from tests.report.conftest import write_round
from tests.waiting import wait_for

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium to show the pages")


@pytest.fixture
def url(tmp_path) -> Iterator[str]:
    """Of a server of ``tmp_path`` whose pages look five times a second whether they have changed."""
    port = free_port()
    app = application(Storage(str(tmp_path)), Access("secret", own_names("127.0.0.1"), "cookie"), poll_s=0.2)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_for(lambda: server.started)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def page() -> Iterator[Page]:
    """A browser's page; whatever it complains of fails the test."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1000, "height": 600})
        complaints: list[str] = []
        opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        yield opened
        browser.close()
        assert complaints == []


def test_pages_refresh_themselves_and_stay_where_they_were(tmp_path, url, page):
    def grow(name: str, num_done: int) -> None:
        state = "running" if num_done < 4 else "finished"
        outcomes = lambda arm, index: "completed" if index < num_done else "missing"  # noqa: E731
        write_round(tmp_path, name=name, trials_per_arm=4, state=state, outcomes=outcomes)

    grow("grows", 1)
    page.goto(f"{url}/?token=secret")
    assert page.url == f"{url}/"
    page.get_by_text("3 of 12").wait_for()
    page.get_by_role("button", name="goal").click()
    grow("later", 2)
    page.get_by_text("6 of 12").wait_for()  # a round that has come since
    assert page.locator("th[aria-sort]").inner_text().startswith("goal")

    page.get_by_role("link", name="grows").click()
    page.get_by_text("3 of 12 trials ended").first.wait_for()
    # What is open is known by what it is: here another fold stood before it, which is gone afterwards.
    folds = "[...document.querySelectorAll('details[open] > summary')].map(({ textContent }) => textContent)"
    page.evaluate("caveats.open = true")
    before = page.evaluate(folds)
    page.evaluate("document.body.prepend(document.createElement('details'))")
    page.evaluate("location.hash = 'somewhere'; scrollTo(0, 700)")
    assert page.evaluate("scrollY") == 700
    page.evaluate("document.documentElement.dataset.same = 'yes'")
    grow("grows", 2)
    page.get_by_text("6 of 12 trials ended").first.wait_for(state="attached")
    page.wait_for_function("() => scrollY === 700")  # a bare expression is an eval, which the page's policy forbids
    assert page.evaluate("[location.hash, document.documentElement.dataset.same ?? null]") == ["#somewhere", None]
    assert page.evaluate(folds) == before

    # Who is busy with the page keeps it until he is done.
    page.evaluate(
        "document.body.prepend(Object.assign(document.createElement('input'), { id: 'busy' }));"
        "document.getElementById('busy').focus({ preventScroll: true })"
    )
    with page.expect_response(lambda answer: "/version/grows" in answer.url):
        grow("grows", 3)
    with page.expect_response(lambda answer: "/version/grows" in answer.url):
        pass
    assert page.locator("#busy").count() == 1
    page.evaluate("document.getElementById('busy').blur()")
    page.get_by_text("9 of 12 trials ended").first.wait_for(state="attached")

    grow("grows", 4)
    page.get_by_text("12 of 12 trials ended").first.wait_for(state="attached")
    assert page.locator("script[data-version]").count() == 0
