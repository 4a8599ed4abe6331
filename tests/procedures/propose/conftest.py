"""Rounds on disk that were run from job files, as far as records tell, and findings about them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raytune_playbook.analysis import findings as checklist
from raytune_playbook.analysis.findings.changes import Change
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.engine.jobs.job_file import Job, load_job
from raytune_playbook.engine.jobs.provenance import provenance_of, round_record
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import Outcome, RoundState, RoundStatus, Training, TrialRecord
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.round import Round
from tests.procedures.propose.rounds import WORKLOAD

Found = Callable[..., None]
"""Makes a change with a status what the checklist finds."""

JOB = '''"""Does alpha matter?"""

from a_net import Net
from raytune_playbook import Budget, Categorical, Float, Round

round = Round(
    name="first",
    goal="Does alpha matter?",
    workload=Net(name="it's", deep=True),
    scientific={"kind": Categorical(["a", "b"])},
    nuisance={"learning_rate": Float(0.003, 0.3, scale="log")},
    budget=Budget(num_trials=6, max_train_steps=100, evaluation_interval_steps=20),
)
'''


@pytest.fixture(autouse=True)
def imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test imports from its folder is unknown to the next one, as it is to another process."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for name, module in [*sys.modules.items()]:
        if str(vars(module).get("__file__") or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job file whose workload lies in a module beside it."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "a_net.py").write_text(WORKLOAD)
    (tmp_path / "jobs" / "first_job.py").write_text(JOB)
    return tmp_path / "jobs" / "first_job.py"


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "rounds"))


def record(round_: Round, storage: Storage, job: Job | None, state: RoundState = RoundState.FINISHED) -> RoundStore:
    """Write what a round of completed trials leaves behind, of 10 ms a step."""
    store = RoundStore(storage, round_.name)
    store.create(round_record(round_, provenance_of(job, storage.uri)), round_.studies, notes="", diff="")
    for study in round_.studies:
        for index in range(study.num_trials):
            training = Training(num_steps=study.max_train_steps, num_parameters=2, train_s=study.max_train_steps / 100)
            store.write_trial(TrialRecord(suggest(study, index), Outcome.COMPLETED, None, 0.1, 20, training))
    num_trials = sum(study.num_trials for study in round_.studies)
    store.write_status(
        RoundStatus(state=state, driver="here/1", seen_at_s=0, num_done=num_trials, num_trials=num_trials)
    )
    return store


def recorded(job: Path, storage: Storage, state: RoundState = RoundState.FINISHED) -> RoundStore:
    """The same of the round of a job file."""
    loaded = load_job(str(job))
    return record(loaded.round, storage, loaded, state)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Found:
    """The checklist finds nothing at first; then what is given."""
    there: list[Finding] = []
    monkeypatch.setattr(checklist, "DETECTORS", (lambda evidence: tuple(there),))

    def find(rule: str, status: Status, *changes: Change, advice: str = "Do it.") -> None:
        sentence = f"What {rule} asks was seen in 4 of 5 trials."
        there.append(Finding(rule, "Is it so?", status, sentence, proposal=Proposal(advice, changes)))

    return find
