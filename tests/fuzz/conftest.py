"""How many inputs each door gets: a few by `pytest`, the same ones each time, and 10,000 by `pytest -m soak`."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

PLAIN, SOAK = "plain", "soak"

_COMMON = {
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
}
settings.register_profile(PLAIN, max_examples=60, derandomize=True, **_COMMON)
settings.register_profile(SOAK, max_examples=10_000, **_COMMON)


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile(SOAK if _is_soak(config) else PLAIN)


def pytest_itemcollected(item: pytest.Item) -> None:
    if _is_soak(item.config):
        item.add_marker(pytest.mark.soak)
        item.add_marker(pytest.mark.timeout(4 * 3600))


def _is_soak(config: pytest.Config) -> bool:
    return "soak" in config.option.markexpr
