"""One real Ray cluster per test session, started once and stopped at its end, and which tests need one.

Tests that need Ray are marked ``cluster``, so that ``pytest -m "not cluster"`` runs the others, and all that share a
cluster run in one process of pytest-xdist; so do the tests of each other file, which may share fixtures. What takes
hours is marked ``soak`` and runs only by ``pytest -m soak``.
"""

from __future__ import annotations

import contextlib
import io
import logging
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import ray
from ray.cluster_utils import Cluster
from rich.console import Console

from tests import forked_ray
from tests.ports import free_port

if TYPE_CHECKING:
    from raytune_playbook import Gangs
    from tests.workers import Workers

NUM_CPUS = 7
"""The shared two gangs of two workers, one gang more, and the pipeline."""

RAY_FIXTURES = ("all_hosts", "cluster", "head")
"""Each starts Ray, once in the process that asks for it; those first whose tests take longest."""


def pytest_itemcollected(item: pytest.Item) -> None:  # pytest-xdist reads the groups when all items are there
    fixture = _started_by(item)
    if fixture is not None:
        item.add_marker(pytest.mark.cluster)
    item.add_marker(pytest.mark.xdist_group(fixture or item.path.stem))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "soak" not in config.option.markexpr:  # also beside another ``-m``, which one in ``addopts`` would lose to
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("soak")])
        items[:] = [item for item in items if not item.get_closest_marker("soak")]
    if hasattr(config, "workerinput"):  # of several processes none shall be left alone with a long group at the end
        order = {name: place for place, name in enumerate(RAY_FIXTURES)}
        items.sort(key=lambda item: order.get(_started_by(item) or "", len(order)))


def pytest_collection_finish(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput") and any("@" not in item.nodeid for item in session.items):
        pytest.exit("pytest-xdist does not see the groups of tests, which would start a cluster in each process", 2)


def _started_by(item: pytest.Item) -> str | None:
    return next((name for name in RAY_FIXTURES if name in getattr(item, "fixturenames", ())), None)


@contextlib.contextmanager
def running_cluster(num_cpus: int) -> Iterator[Cluster]:
    """A head node of so many logical CPUs, to which this process is connected."""
    # The default port may be another cluster's.
    head = {"num_cpus": num_cpus, "include_dashboard": True, "dashboard_port": free_port(), **forked_ray.NODE}
    with tempfile.TemporaryDirectory(prefix="rtp", dir="/tmp") as folder, forked_ray.forks(Path(folder)):
        running = Cluster(initialize_head=True, connect=False, head_node_args=head)
        ray.init(address=running.address, log_to_driver=False, logging_level=logging.ERROR)
        yield running
        ray.shutdown()
        running.shutdown()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A head node of `NUM_CPUS` logical CPUs, to which tests may add nodes; this process is connected to it."""
    with running_cluster(NUM_CPUS) as running:
        yield running


@pytest.fixture(scope="session")
def gangs(cluster: Cluster) -> Iterator[Gangs]:
    """Two gangs of two workers each, warm for as long as the tests need them."""
    from raytune_playbook import Gangs  # and with it torch, which not every test needs
    from tests.regression import RESOURCES

    with Gangs(RESOURCES, keep_idle_s=600) as session:
        yield session


@pytest.fixture(scope="session")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Workers:
    """Starts groups of worker processes, each a fork of one process that is kept."""
    from tests.workers import Workers  # and with it torch, which not every test needs

    return Workers(tmp_path_factory.mktemp("workers"))


@pytest.fixture
def quiet() -> Console:
    """A console that keeps what is printed: ``quiet.file.getvalue()``."""
    return Console(file=io.StringIO(), width=200, highlight=False)


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A file system of 16 MiB in memory, which has room for the page."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"this machine mounts no file systems: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
