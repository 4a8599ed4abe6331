"""When each alert fires, by Prometheus's own tool for testing rules."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.k8s.kustomize import K8S

pytestmark = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


@dataclass(frozen=True)
class Case:
    """Fields:
    series: values every minute by metric, as promtool writes them.
    fires_at, silent_at: minutes.
    summary: what the alert says.
    """

    alert: str
    series: dict[str, str]
    fires_at: int
    silent_at: int
    severity: str
    summary: str


def trials(state: str, values: str) -> dict[str, str]:
    return {f'ray_raytune_playbook_trials{{round="r",state="{state}"}}': values}


def gangs(state: str, values: str) -> dict[str, str]:
    return {f'ray_raytune_playbook_gangs{{round="r",state="{state}"}}': values}


CASES = [
    Case(
        "RaytunePlaybookTrialsFail",
        trials("failed", "2x30") | trials("completed", "8x9 7x20") | trials("running", "1x30"),
        fires_at=16,
        silent_at=14,  # at 8 of 10 it was a fifth, and at 7 of 9 it has been more for less than 5 minutes
        severity="warning",
        summary="22.22% of the trials of r that have ended failed.",
    ),
    Case(
        "RaytunePlaybookGangsRestart",
        {'ray_raytune_playbook_gang_restarts_total{round="r"}': "0x9 4x60"},
        fires_at=12,
        silent_at=8,
        severity="warning",
        summary="Gangs of r restarted 4 times in half an hour.",
    ),
    Case(
        "RaytunePlaybookWaitsForData",
        {'ray_raytune_playbook_input_wait_share{round="r"}': "0.1x9 0.3x60"},
        fires_at=26,
        silent_at=24,
        severity="info",
        summary="The steps of r wait 30% of their time for data.",
    ),
    Case(
        "RaytunePlaybookGangsIdle",
        {'ray_raytune_playbook_gang_utilization{round="r"}': "0.9x9 0.25x60"},
        fires_at=41,
        silent_at=39,
        severity="info",
        summary="The gangs of r train 25% of the time.",
    ),
    Case(
        "RaytunePlaybookNoGang",
        gangs("ready", "0x60") | gangs("busy", "1x9 0x60") | gangs("starting", "1x60"),
        fires_at=26,
        silent_at=24,
        severity="warning",
        summary="No gang of r has workers.",
    ),
]


@pytest.fixture
def rules(tmp_path) -> dict[str, Any]:
    """The group of rules, which is also in the file ``rules.yaml``."""
    spec = yaml.safe_load((K8S / "monitoring" / "prometheusrule.yaml").read_text())["spec"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec))
    (group,) = spec["groups"]
    found: dict[str, Any] = group
    return found


def promtool(*arguments: str, folder: Path) -> None:
    ended = subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_prometheus_takes_the_rules(rules, tmp_path):
    promtool("check", "rules", "rules.yaml", folder=tmp_path)
    assert {rule["alert"] for rule in rules["rules"]} == {case.alert for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_an_alert_fires_when_it_should_and_ends_with_its_round(rules, tmp_path, case):
    (rule,) = [rule for rule in rules["rules"] if rule["alert"] == case.alert]
    fired = {
        "exp_labels": {"round": "r", "severity": case.severity},
        "exp_annotations": {"summary": case.summary, "description": rule["annotations"]["description"]},
    }
    ended_at = 240  # long after the last value
    checks = [(case.silent_at, []), (case.fires_at, [fired]), (ended_at, [])]
    test = {
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "alert_rule_test": [
            {"eval_time": f"{minute}m", "alertname": case.alert, "exp_alerts": alerts} for minute, alerts in checks
        ],
    }
    (tmp_path / "test.yaml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]})
    )
    promtool("test", "rules", "test.yaml", folder=tmp_path)
