"""What Prometheus scrapes and warns of, and the dashboard; a real Prometheus evaluates the expressions elsewhere."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.k8s.kustomize import built, needs_kubectl, of_kind, the

METRICS = {
    "ray_raytune_playbook_trials": {"round", "state"},
    "ray_raytune_playbook_best_objective": {"round", "study"},
    "ray_raytune_playbook_examples_per_second": {"round"},
    "ray_raytune_playbook_input_wait_share": {"round"},
    "ray_raytune_playbook_gang_restarts_total": {"round"},
    "ray_raytune_playbook_gang_utilization": {"round"},
    "ray_raytune_playbook_gangs": {"round", "state"},
}
"""The metrics with their labels, as Prometheus sees them."""

pytestmark = needs_kubectl


@pytest.fixture
def rules() -> list[dict[str, Any]]:
    (group,) = the(built("monitoring"), "PrometheusRule")["spec"]["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


@pytest.fixture
def dashboard() -> dict[str, Any]:
    config_map = the(built("monitoring"), "ConfigMap")
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    (text,) = config_map["data"].values()
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _expressions(dashboard: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def _metrics(expression: str) -> set[str]:
    return set(re.findall(r"\bray_\w+", expression))


def test_the_dashboard_shows_every_metric_and_no_other(dashboard: dict[str, Any]) -> None:
    shown = set().union(*map(_metrics, _expressions(dashboard)))
    assert shown == METRICS.keys()


def test_rules_and_panels_use_the_labels_that_a_metric_has(
    rules: list[dict[str, Any]], dashboard: dict[str, Any]
) -> None:
    for expression in [*_expressions(dashboard), *(rule["expr"] for rule in rules)]:
        known = set.union(*(METRICS[name] for name in _metrics(expression)))
        by = {label.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(",")}
        matched = set(re.findall(r"(\w+)=~?\"", expression))
        assert by | matched <= known, expression


def test_panels_lie_beside_each_other_and_have_ids_of_their_own(dashboard: dict[str, Any]) -> None:
    cells = [
        (x, y)
        for panel in dashboard["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_every_rule_has_a_name_of_its_own_and_says_what_is_the_matter(rules: list[dict[str, Any]]) -> None:
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in ("info", "warning")
        assert "{{ $labels.round }}" in rule["annotations"]["summary"] and rule["annotations"]["description"]


def test_what_is_scraped_is_rays_pods_and_prometheus_is_let_in() -> None:
    documents = built("monitoring")
    selector = the(documents, "PodMonitor")["spec"]["selector"]
    (policy,) = of_kind(documents, "NetworkPolicy")
    assert policy["spec"]["podSelector"]["matchLabels"] == selector["matchLabels"]
    head = the(built("base"), "RayCluster")["spec"]["headGroupSpec"]["template"]["metadata"]["labels"]
    assert selector["matchLabels"].items() <= head.items()
