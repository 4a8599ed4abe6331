"""A round's metrics as a real Prometheus has them, and what is asked of it in ``k8s/monitoring``."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import ray
import yaml

from raytune_playbook import run
from raytune_playbook.analysis.judging.best import best_of_each_study
from raytune_playbook.analysis.trials import trials_of
from raytune_playbook.engine.driver import metrics
from raytune_playbook.engine.driver.activity import Activity
from raytune_playbook.engine.driver.metrics import RoundMetrics
from raytune_playbook.engine.driver.recorder import Recorder
from raytune_playbook.engine.gang.state import GangState
from raytune_playbook.engine.jobs.provenance import provenance_of, round_record
from raytune_playbook.engine.pool.events import GangChanged
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from tests.engine.rounds.test_interruptions import during
from tests.ports import free_port
from tests.waiting import wait_for

MONITORING = Path(__file__).resolve().parents[3] / "k8s" / "monitoring"


class Prometheus:
    """One that runs, and asks itself nothing."""

    def __init__(self, port: int) -> None:
        self._port = port

    def asked(self, expression: str) -> dict[tuple[str, ...], float]:
        """What an expression comes to, by the values of the labels that are ours, in the order of their names."""
        with urlopen(f"http://127.0.0.1:{self._port}/api/v1/query?{urlencode({'query': expression})}") as answered:
            found: dict[str, Any] = json.load(answered)
        return {
            tuple(value for label, value in sorted(each["metric"].items()) if label in ("state", "study")): float(
                each["value"][1]
            )
            for each in found["data"]["result"]
        }

    def is_ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self._port}/-/ready"):
                return True
        except OSError:
            return False


@pytest.fixture
def prometheus(cluster, tmp_path) -> Iterator[Prometheus]:
    """It scrapes the session's cluster every second."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed")
    targets = [f"{node['NodeManagerAddress']}:{node['MetricsExportPort']}" for node in ray.nodes() if node["Alive"]]
    scrape = {"job_name": "ray", "scrape_interval": "1s", "static_configs": [{"targets": targets}]}
    config, port = tmp_path / "prometheus.yml", free_port()
    config.write_text(yaml.safe_dump({"scrape_configs": [scrape]}))
    options = [f"--storage.tsdb.path={tmp_path / 'prometheus'}", f"--web.listen-address=127.0.0.1:{port}"]
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(["prometheus", f"--config.file={config}", *options], stdout=log, stderr=log)
    try:
        running = Prometheus(port)
        wait_for(running.is_ready)
        yield running
    finally:
        process.kill()
        process.wait()


def dashboard_expressions() -> list[str]:
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def alert_expressions() -> list[str]:
    (group,) = yaml.safe_load((MONITORING / "prometheusrule.yaml").read_text())["spec"]["groups"]
    return [rule["expr"] for rule in group["rules"]]


@pytest.fixture
def recorder(make_round, tmp_path) -> Recorder:
    """Of a round that has not begun."""
    round_ = make_round("recorded")
    store = RoundStore(Storage(str(tmp_path)), round_.name)
    store.create(round_record(round_, provenance_of(None, str(tmp_path))), round_.studies, notes="", diff="")
    return Recorder(store, round_.studies)


def test_a_round_tells_how_it_stands_and_at_its_end_what_its_records_say(
    prometheus, gangs, make_round, recorder, tmp_path, quiet
):
    hold = tmp_path / "hold-0"  # keeps the second trial of both studies waiting, and with them both gangs
    hold.touch()
    held = {"completed": 2, "failed": 0, "infeasible": 0, "running": 2, "stopped": 0, "waiting": 0}

    def now(name: str) -> Mapping[tuple[str, ...], float]:
        return prometheus.asked(f'ray_raytune_playbook_{name}{{round="watched"}}')

    def last(name: str) -> Mapping[tuple[str, ...], float]:
        return prometheus.asked(f'last_over_time(ray_raytune_playbook_{name}{{round="watched"}}[1h])')

    def lose_a_worker() -> None:
        try:
            wait_for(lambda: now("trials") == {(state,): num for state, num in held.items()})
            wait_for(lambda: now("gangs").get(("busy",)) == 2)
            assert sum(now("gangs").values()) == 2
            wait_for(lambda: 0 < now("gang_utilization").get((), 0) < 1)
            os.kill(gangs.facts()[0].worker_process_ids[1], signal.SIGKILL)
            wait_for(lambda: now("gang_restarts_total").get(()) == pytest.approx(1))
        finally:
            hold.unlink()

    RoundMetrics("größe", recorder).tell(0.0)  # of Ray's texts, which must be ASCII, the name gets its escapes
    watched = make_round("watched", arms=2, fault="hold", broken=(1,), marker=str(tmp_path))
    with during(lose_a_worker):
        result = run(watched, storage=str(tmp_path), gangs=gangs, console=quiet)

    wait_for(lambda: last("trials").get(("completed",)) == 4)
    assert sum(last("trials").values()) == len(result.trials) == 4
    best = best_of_each_study(trials_of(result.trials), watched.objective)
    assert last("best_objective") == {(study,): pytest.approx(trial.objective) for study, (trial,) in best.items()}
    attempts = [attempt["ended"] for row in result.trials.to_pylist() for attempt in row["attempts"]]
    assert last("gang_restarts_total") == {(): pytest.approx(attempts.count("worker died"))}
    assert last("examples_per_second")[()] > 0 and 0 <= last("input_wait_share")[()] <= 1

    assert prometheus.asked(r'last_over_time(ray_raytune_playbook_trials{round="gr\\xf6\\xdfe"}[1h])')

    for expression in dashboard_expressions():
        ours = expression.replace("$round", "watched")
        shown = prometheus.asked(f"last_over_time(({ours})[1h:1s])")
        assert shown, ours
    for expression in alert_expressions():
        prometheus.asked(expression)  # which some have no answer to; tests/k8s/test_alerts.py has rounds that do
        labels = re.findall(r"(ray_raytune_playbook_\w+)", expression)
        assert all(prometheus.asked(f'last_over_time({each}{{round="watched"}}[1h])') for each in labels)

    wait_for(lambda: not now("trials"))  # nothing stays behind for ever
    assert not now("gangs") and not now("best_objective")


METRICS_END = "the round's metrics end here (RuntimeError: no such thing); nothing else does"


def broken(*_: object) -> None:
    raise RuntimeError("no such thing")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_round_goes_on_without_metrics_that_cannot_be_told(recorder, monkeypatch, caplog):
    told = RoundMetrics("quiet", recorder)
    monkeypatch.setattr(metrics, "Gauge", broken)
    with caplog.at_level(logging.WARNING, "raytune_playbook"):
        for now_s in (0.0, 10.0):
            told.gangs_are({"gang-1": GangState.BUSY}, now_s)
    assert said(caplog) == [METRICS_END]


@pytest.mark.parametrize("part", ["heard", "heard_all", "gangs_were"])
def test_metrics_that_cannot_be_counted_end_once(part, recorder, monkeypatch, caplog):
    told = RoundMetrics("quiet", recorder)
    monkeypatch.setattr(Activity, part, broken)
    with caplog.at_level(logging.WARNING, "raytune_playbook"):
        for now_s in (0.0, 10.0):
            told.heard(GangChanged("gang-1 starts"), now_s)
            told.heard(GangChanged("gang-1 is ready"), now_s)
            told.gangs_are({"gang-1": GangState.BUSY}, now_s)
    assert said(caplog) == [METRICS_END]
