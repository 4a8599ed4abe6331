"""The doctor at a cluster of one machine, whole and with a node that has another package."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable

import pytest
import ray

from raytune_playbook import InputError, doctor
from raytune_playbook.engine.doctor.facts import Level

SUBJECTS = [
    *("nodes", "versions", "clocks", "memory", "disk", "object store", "GPUs", "interface"),
    *("all-reduce", "storage", "token"),
]


MACHINE = {"memory", "disk", "object store"}
"""How full this machine is, the tests do not decide."""


def not_well(levels: Iterable[tuple[str, Level]]) -> list[str]:
    """The subjects of what is not well, and no matter of this machine: how slowly busy cores reduce is one as well."""
    slow = ("all-reduce", Level.LOOK)
    return [each[0] for each in levels if each[1] is not Level.OK and each[0] not in MACHINE and each != slow]


def test_a_whole_cluster_is_well_but_for_its_token_and_nothing_is_left_in_the_storage(cluster, tmp_path, quiet):
    storage = tmp_path / "not" / "there" / "yet"
    lines = doctor(storage=str(storage), console=quiet)
    assert sorted({line.subject for line in lines}) == sorted(SUBJECTS)
    assert not_well((line.subject, line.level) for line in lines) == ["token"]
    assert f"The node writes to {storage} and reads back." in quiet.file.getvalue()
    assert list(tmp_path.iterdir()) == []
    assert ray.is_initialized()  # the caller's connection is kept


def test_a_node_with_another_package_and_a_storage_that_takes_nothing_are_told(cluster, tmp_path, quiet, monkeypatch):
    installed = tmp_path / "packages" / "tensorboardX-0.0.1.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: tensorboardX\nVersion: 0.0.1\n")
    occupied = tmp_path / "a file"
    occupied.touch()
    with monkeypatch.context() as patched:
        patched.setenv("PYTHONPATH", f"{installed.parent}:{os.environ.get('PYTHONPATH', '')}")
        other = cluster.add_node(num_cpus=1)  # not of forks, whose packages are those of where they come from
    try:
        lines = doctor(storage=str(occupied), console=quiet)
    finally:
        cluster.remove_node(other)
    wrong = {line.subject: line.sentence for line in lines if line.level is Level.WRONG}
    assert wrong.keys() - MACHINE == {"versions", "storage", "token"}, quiet.file.getvalue()
    assert "tensorboardX is " in wrong["versions"]
    assert "here, but 0.0.1 on " in wrong["versions"]
    assert str(occupied) in wrong["storage"] and "a file is in the way, so name a folder" in wrong["storage"]
    assert occupied.read_bytes() == b""


def test_a_storage_that_cannot_be_understood_is_refused_before_anything_is_asked(cluster, quiet):
    with pytest.raises(InputError, match="a folder's path or a URI that pyarrow knows"):
        doctor(storage="nonsense://x", console=quiet)
    assert quiet.file.getvalue() == ""


@pytest.mark.parametrize("storage", ["a file", "a file/rounds", "s3://"])
def test_a_storage_that_this_machine_cannot_write_is_refused_before_a_cluster_starts(tmp_path, storage):
    (tmp_path / "a file").touch()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-m", "raytune_playbook", "doctor", "--storage", storage]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith("Storage: ")


def test_a_laptop_starts_a_cluster_of_its_own_and_ends_it(cluster, tmp_path):
    del cluster  # this machine runs one already, which must not be taken
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-m", "raytune_playbook", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    first, *lines = done.stdout.splitlines()
    assert first == "Starting a cluster on this machine, as `run` does."
    assert re.match(r"ok +nodes +1 node answers: ", lines[0])
    told = [re.match(rf"(ok|look|wrong) +({'|'.join(SUBJECTS)}) ", line) for line in lines]
    levels = [(each[2], Level(each[1])) for each in told if each is not None]
    assert {subject for subject, _ in levels} == set(SUBJECTS)
    assert not_well(levels) == [], done.stdout
    is_fit = all(level is not Level.WRONG for _, level in levels)
    assert (done.returncode == 0) == lines[-1].startswith("Fit for rounds") == is_fit, done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_process_of_other_versions_is_told_which(cluster, tmp_path):
    """Ray compares what the cluster has noted with what the process is."""
    program = "import ray, sys; ray.__version__ = '2.59.0'; from raytune_playbook.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "doctor", "--address", cluster.address]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    theirs = f"the Ray cluster at {cluster.address} runs Ray {ray.__version__} and Python"
    assert f"A process that joins a cluster needs its versions, but {theirs}" in done.stderr
    assert "and this process Ray 2.59.0 and Python" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
