"""How the next job file names its workload, wherever the class lives and whatever it holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytune_playbook.engine.jobs.job_file import load_job
from raytune_playbook.errors import JobFileError
from raytune_playbook.procedures.propose.python_text import rendered
from raytune_playbook.procedures.propose.source import job_source
from raytune_playbook.procedures.propose.workload import workload_source
from tests.procedures.propose.conftest import JOB
from tests.procedures.propose.rounds import WORKLOAD

IN_JOB = JOB.replace("from a_net import Net", WORKLOAD)


def named(file: Path, text: str) -> tuple[str, str]:
    """What a job file next to this one imports, and how it names the workload; it is seen to be the same."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    job = load_job(str(file))
    source = workload_source(job)
    new = file.parent / f"next_to_{file.stem.replace('-', '_')}.py"
    new.write_text(job_source(job.round, source, "The next one."))
    again = load_job(str(new)).round
    assert again.fingerprint == job.round.fingerprint
    assert {**vars(again.workload), "array": None} == {**vars(job.round.workload), "array": None}
    return "\n".join(source.imports), rendered(source.node)


def test_its_class_is_imported_from_where_it_lives(job: Path) -> None:
    assert named(job, JOB) == ("from a_net import Net", 'Net(name="it\'s", deep=True)')
    assert named(job.parent / "inside_job.py", IN_JOB)[0] == "from inside_job import Net"
    bundled = JOB.replace("from a_net import Net", "from raytune_playbook.workloads.tabular import Diabetes as Net")
    bundled = bundled.replace('Net(name="it\'s", deep=True)', "Net()").replace('"kind": ', '"batch_norm": ')
    assert named(job.parent / "bundled.py", bundled.replace('["a", "b"]', '["device", "sync"]')) == (
        "from raytune_playbook.workloads.tabular import Diabetes",
        "Diabetes()",
    )


def test_a_job_of_a_package_is_imported_as_one_of_its_modules(tmp_path: Path) -> None:
    for folder in ("mine", "mine/rounds"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("")
    assert named(tmp_path / "mine" / "rounds" / "packed.py", IN_JOB)[0] == "from mine.rounds.packed import Net"


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ("made = Net(); made.added = 3; workload=made", "a setting that its constructor does not take"),
        ("made = Net(); made.array = [1]; workload=made", "what cannot be written"),
        (
            "class Other(Net):\n    def __init__(self, array):\n        super().__init__()\nworkload=Other([1])",
            "a list",
        ),
        ("workload=(lambda: type('Local', (Net,), {})())()", "a class that no name leads to"),
    ],
)
def test_what_cannot_be_made_anew_is_taken_from_the_old_job_file(tmp_path: Path, made: str, why: str) -> None:
    before, _, workload = made.rpartition("workload=")
    text = IN_JOB.replace("\nround = ", f"\n{before}\n\nanything = ").replace('Net(name="it\'s", deep=True)', workload)
    assert named(tmp_path / "made_job.py", text) == ("import made_job", "made_job.anything.workload"), why
    imports, node = named(tmp_path / "made-job.py", text)
    assert (imports, node) == ("import importlib", 'importlib.import_module("made-job").anything.workload')


def test_a_file_whose_name_cannot_be_imported_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobFileError, match=r"Python imports no file called 'job.v1.py'"):
        named(tmp_path / "job.v1.py", IN_JOB)
