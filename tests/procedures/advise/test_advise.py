"""Advice: where a project stands in the playbook, told from its records alone."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

import raytune_playbook
from raytune_playbook.analysis.findings.changes import SearchOver, TrainSteps
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.next_study.next_study import NextStudy, ProposedChange
from raytune_playbook.procedures.advise.advise import advice_of
from raytune_playbook.procedures.advise.checklist import ProjectAdvice, Stage, Standing
from raytune_playbook.procedures.advise.judging import TITLES
from raytune_playbook.procedures.advise.recorded import Learned, ProjectRecords, RecordedRound
from raytune_playbook.records.procedures import NextCommand, ProcedureRecord, write_procedure
from raytune_playbook.records.registry import (
    ClosedRecord,
    LaunchRecord,
    TestRecord,
    close_workload,
    write_launch,
    write_test,
)
from raytune_playbook.records.scores import ScoreRecord
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.types import Part, RoundState
from raytune_playbook.study.hyperparameters.hyperparameter import Float
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.study import WorkloadSpec
from tests.report.conftest import write_round

FACTS = {"model": "Net(width=16)", "optimizer": "adam", "number of steps": "400"}


def record(procedure: str, minute: int = 1, **given: object) -> ProcedureRecord:
    fields = {
        "procedure": procedure,
        "round": "digits",
        "workload": "Net",
        "verdict": f"What {procedure} found",
        "command": f"raytune-playbook {procedure} jobs/digits.py",
        "ended_at": f"2026-11-27T10:{minute:02d}:00Z",
    }
    return ProcedureRecord(**(fields | given))


def round_(name: str = "digits", minute: int = 10, **given: object) -> RecordedRound:
    fields = {
        "created_at": f"2026-11-27T10:{minute:02d}:00+00:00",
        "job": str(Path.cwd() / "jobs" / f"{name}.py"),
        "state": RoundState.FINISHED,
        "max_train_steps": 400,
        "facts": FACTS,
        "batch_sizes": (64,),
    }
    return RecordedRound(name, **(fields | given))


def finding(rule: str, status: Status = Status.LOOK, **numbers: float) -> Finding:
    return Finding(rule, "Is it so?", status, f"What {rule} asks was seen.", numbers, proposal=Proposal("Do it."))


def learned(*findings: Finding, changes: bool = True, best: str | None = "validation error 0.02 (all/3)") -> Learned:
    wider = SearchOver("learning_rate", Float(1e-3, 1.0, scale="log"))
    asked = [
        ProposedChange(TrainSteps(800) if each.rule in ("IN8", "IN14") else wider, "Do it.", "Do it.", (each,))
        for each in findings
        if changes
    ]
    return Learned(findings, NextStudy(tuple(asked), ()), best, 24, 24)


NET = WorkloadSpec(module="jobs", name="Net", settings={}, source_hash="aa")


def launch(minute: int = 22, round_: str = "digits", **given: object) -> LaunchRecord:
    fields: dict[str, object] = dict.fromkeys(
        ("job", "median", "deviation", "commit", "uncommitted_diff", "replaced_launch", "replaced_median", "gain")
    )
    fields |= dict.fromkeys(("stored_at", "notes", "command", "launch_command", "replaced", "method", "complexity"), "")
    fields |= {
        "number": 1,
        "workload": NET,
        "round": round_,
        "study": "all",
        "index": 3,
        "configuration": {},
        "max_train_steps": 400,
        "evaluation_interval_steps": 40,
        "objective": Objective(metric="error"),
        "num_trials": 24,
        "best": 0.02,
        "median": 0.025,
        "replaced_median": 0.03,
        "num_retrains": 20,
        "uncommitted": False,
        "verdict": "adopt",
        "probability": 0.99,
        "changes": (),
        "anyway": None,
        "launched_at": f"2026-11-27T10:{minute:02d}:00Z",
    }
    return LaunchRecord(**(fields | given))


def a_test(minute: int = 23, **given: object) -> TestRecord:
    fields = {
        "launch": 1,
        "round": "digits",
        "trial": "all/00003",
        "metric": "error",
        "value": 0.04,
        "standard_error": 0.01,
        "num_examples": 88,
        "reason": None,
        "tested_at": f"2026-11-27T10:{minute:02d}:00Z",
    }
    return TestRecord(**(fields | given))


LAUNCHED = "all/00003 of digits is launch 1: median validation error 0.025 against 0.03"


def project(*procedures: ProcedureRecord, **given: object) -> ProjectRecords:
    return ProjectRecords("Net", procedures=procedures, **given)


def advised(records: ProjectRecords, storage: str = "rounds") -> ProjectAdvice:
    (found,) = advice_of([records], storage).projects
    return found


def stage(advice: ProjectAdvice, name: str) -> Stage:
    (found,) = [each for each in advice.stages if each.name == name]
    return found


def standings(advice: ProjectAdvice) -> dict[str, str]:
    return {each.name: str(each.standing) for each in advice.stages}


STARTED = (
    record("check-initial", 1, is_good=True),
    record("batch-size", 2, numbers={"least_time": 64, "least_resources": 32, "largest_feasible": 512}),
    record("train-steps", 3, numbers={"max_train_steps": 400, "learning_rate": 0.1}),
)
EXPLORED = project(*STARTED, rounds=(round_(),), learned=learned())


def test_a_newcomer_is_told_to_choose_a_batch_size_and_how(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for storage in ("nowhere", str(tmp_path)):
        (newcomer,) = raytune_playbook.advise(storage).projects
        assert newcomer.lines[0] == "Choose a batch size"
        commands = [each.command.split()[1:3] for each in newcomer.stages if each.command]
        assert commands == [[verb, "my_job.py"] for verb in ("new", "check-initial", "batch-size")]
        assert [each.name for each in newcomer.stages] == list(TITLES)
    assert not (tmp_path / "nowhere").exists()


def test_the_walk_goes_through_the_playbook_in_its_order_to_the_launch():
    unstable, short = finding("UN10", Status.PROBLEM), finding("IN8", num_improving=1.0)
    records = project(STARTED[0])
    walked = []

    def go(records: ProjectRecords, expected: str, command: str | None) -> None:
        advice = advised(records)
        assert advice.next is not None
        walked.append(advice.next.name)
        assert (advice.next.name, advice.next.command) == (expected, command)
        assert advice.headline.lower() == f"net: {TITLES[expected].lower()}"
        after = advice.stages[list(TITLES).index(expected) + 1 :]
        assert all(each.command is None for each in after if each.standing is Standing.LATER)

    go(records, "batch-size", "raytune-playbook batch-size jobs/digits.py")
    go(project(*STARTED[:2]), "train-steps", "raytune-playbook train-steps jobs/digits.py")
    go(project(*STARTED), "rounds", "raytune-playbook run jobs/digits.py")
    records = project(*STARTED, rounds=(round_(),), learned=learned(finding("IN1")))
    go(records, "rounds", "raytune-playbook propose digits")
    records = project(*STARTED, rounds=(round_(), round_("digits_2", 12)), learned=learned(unstable, short))
    go(records, "stability", "raytune-playbook stability digits_2")
    mended = record("stability", 14, round="digits_2", numbers={"warmup_steps": 40})
    records = replace(records, procedures=(*STARTED, mended))
    go(records, "lengthen", "raytune-playbook lengthen digits_2")
    records = replace(records, rounds=(*records.rounds, round_("digits_3", 16)), learned=learned())
    go(records, "exploit", "raytune-playbook exploit digits_3")
    done = list(STARTED)
    for minute, verb in enumerate(("exploit", "variance", "launch"), 20):
        asked = " --complexity none" if verb == "launch" else ""  # rule AD4: it has to be said
        go(replace(records, procedures=tuple(done)), verb, f"raytune-playbook {verb} digits_3{asked}")
        done.append(record(verb, minute, round="digits_3", is_good=True if verb == "launch" else None))
    records = replace(records, procedures=tuple(done), launches=(launch(22, "digits_3"),))
    go(records, "test", "raytune-playbook test digits_3")
    assert walked[-4:] == ["exploit", "variance", "launch", "test"]
    finished = advised(replace(records, tests=(a_test(),)))
    assert finished.next is None
    assert finished.lines[-1] == f"Launched: {LAUNCHED.replace('digits', 'digits_3')}. (2026-11-27)"
    assert set(standings(finished).values()) <= {"done", "not needed"}


def test_what_passes_asks_for_nothing_more():
    closed = advised(replace(EXPLORED, learned=learned(finding("IN15", Status.PASSES))))
    assert stage(closed, "rounds").standing is Standing.DONE


def test_each_stage_that_is_done_says_what_it_found_when_and_of_which_round():
    advice = advised(EXPLORED)
    assert stage(advice, "batch-size").sentence == "What batch-size found. (2026-11-27, digits)"
    assert stage(advice, "rounds").sentence.startswith("1 round, the newest digits: best validation error 0.02 (all/3)")
    assert stage(advice, "stability").sentence == "No finding of digits speaks of instability."


def test_ba9_what_a_change_makes_stale_is_named_and_holds_up_only_what_rests_on_it():
    bound = {"optimizer": "momentum", "model": FACTS["model"]}
    before = project(
        STARTED[0], STARTED[1].model_copy(update={"bound_to": bound}), record("train-steps", 3, bound_to=FACTS)
    )
    advice = advised(before)  # a later procedure knows another optimizer, and nothing has been explored yet
    assert advice.next is not None and advice.next.name == "batch-size"
    assert advice.next.standing is Standing.STALE
    assert "the optimizer was momentum and is adam" in advice.next.sentence
    assert advice.next.command == "raytune-playbook batch-size jobs/digits.py"
    explored = advised(replace(before, rounds=(round_(),), learned=learned()))
    assert stage(explored, "batch-size").standing is Standing.STALE
    assert explored.next is not None and explored.next.name == "exploit"
    varied = record("variance", 22, bound_to={"model": "Net(width=8)"})
    finishing = replace(EXPLORED, procedures=(*STARTED, record("exploit", 20), varied))
    assert advised(finishing).next == stage(advised(finishing), "variance")
    assert stage(advised(finishing), "variance").standing is Standing.STALE
    early = advised(replace(finishing, procedures=(*STARTED, varied)))
    assert early.next is not None and early.next.name == "exploit"
    assert stage(early, "variance").command == "raytune-playbook variance digits"


def test_what_is_said_of_an_older_round_is_not_said_of_the_newest():
    done = [record(verb, 20 + place, is_good=True) for place, verb in enumerate(("exploit", "variance", "launch"))]
    later = replace(EXPLORED, procedures=(*STARTED, *done), rounds=(round_(), round_("digits_2", 40)))
    advice = advised(later)
    assert advice.next is not None and advice.next.name == "exploit"
    assert advice.launched is None
    assert stage(advice, "variance").standing is Standing.LATER


@pytest.mark.parametrize(
    ("round_name", "given", "expected"),
    [
        ("digits", {"is_good": True}, ("launch", "raytune-playbook launch digits --complexity none")),  # not there
        ("digits", {"is_good": False, "next": ["launch digits --num-retrains 40"]}, ("launch", "launch digits")),
        ("digits", {"is_good": False, "next": ["propose digits"]}, ("rounds", None)),
        ("digits_0", {"is_good": False, "next": ["propose digits_0"]}, ("launch", "raytune-playbook launch digits -")),
    ],
)
def test_only_what_the_registry_has_is_launched_and_a_refused_candidate_asks_another_question(
    round_name, given, expected
):
    following = tuple(
        NextCommand(sentence="Go on.", command=f"raytune-playbook {each}") for each in given.get("next", ())
    )
    decided = record("launch", 22, round=round_name, **(given | {"next": following}))
    ends = (*STARTED, record("exploit", 20), record("variance", 21), decided)
    advice = advised(replace(EXPLORED, procedures=ends))
    assert advice.next is not None
    assert advice.launched is None
    name, command = expected
    assert advice.next.name == name
    assert (command or "") in (advice.next.command or "")
    if name == "rounds":
        assert advice.next.command is None  # what the round proposes is nothing
        assert "its candidate was not adopted. Ask another question in a new round: " in advice.next.sentence
        assert stage(advice, "launch").standing is Standing.DONE
        before = advised(replace(EXPLORED, procedures=(*STARTED, record("variance", 21), decided)))
        assert before.next is not None and before.next.name == "exploit"
        asked = advised(replace(EXPLORED, learned=learned(finding("IN1")), procedures=ends))
        assert asked.next is not None and asked.next.command == "raytune-playbook propose digits"


def test_another_candidate_that_is_not_adopted_hides_nothing_of_what_is_in_use():
    refused = record("launch", 24, round="digits_0", is_good=False, bound_to={"number of steps": "100"})
    ends = (*STARTED, record("exploit", 20), record("variance", 21), refused)
    anyway = launch(22, verdict="do not adopt", anyway="we want it")
    records = replace(EXPLORED, procedures=ends, launches=(anyway,))
    advice = advised(records)
    assert advice.next is not None
    assert (advice.next.name, advice.next.command) == ("test", "raytune-playbook test digits")
    done = advised(replace(records, tests=(a_test(23),)))
    assert done.next is None
    assert done.launched == f"{LAUNCHED}, against the verdict (do not adopt), because: we want it. (2026-11-27)"
    earlier = ScoreRecord(
        study="all", trial="00003", step=400, split="test", metrics={}, num_examples=9, source="",
        scored_at="2026-11-27T09:00:00Z",
    )  # fmt: skip
    again = advised(replace(records, test_scores=(earlier,)))
    assert again.next is not None
    assert again.next.command == "raytune-playbook test digits --reason 'launch 1'"  # without one it is refused


def test_ad8_a_closed_workload_has_nothing_left_to_do_and_no_command():
    closed = ClosedRecord(workload=NET, round="digits", why="folded", closed_at="2026-11-27T10:30:00Z")
    stale = STARTED[1].model_copy(update={"bound_to": {"optimizer": "momentum"}})
    ends = (STARTED[0], stale, record("variance", 31, next=(NextCommand(sentence="?", command="x launch digits"),)))
    records = replace(EXPLORED, procedures=ends, launches=(launch(),), tests=(a_test(23), a_test(29, is_folded=True)))
    for newest in ((round_(),), (round_(), round_("digits_2", 40))):
        advice = advised(replace(records, rounds=newest, learned=learned(finding("IN1")), closed=closed))
        assert (advice.next, advice.headline) == (None, "Net: launched")
        assert all(each.standing.is_settled and each.command is None for each in advice.stages)
        assert advice.lines[-1].startswith(f"Launched: {LAUNCHED}. (2026-11-27) Closed to launches since 2026-11-27")
        assert "trained on the validation examples, too, is 0.04 ± 0.01" in stage(advice, "test").sentence


def test_a_look_at_the_test_set_after_the_launch_is_the_last_stage():
    ends = tuple(record(verb, 20, is_good=True) for verb in ("exploit", "variance", "launch"))
    records = replace(EXPLORED, launches=(launch(20),))
    for minute, is_last in ((19, False), (30, True)):
        score = ScoreRecord(
            study="all", trial="00003", step=400, split="test", metrics={}, num_examples=9, source="",
            scored_at=f"2026-11-27T10:{minute}:00Z",
        )  # fmt: skip
        advice = advised(replace(records, procedures=(*STARTED, *ends), test_scores=(score,)))
        assert (advice.next is None) == is_last


def test_what_was_left_open_does_not_hold_up_who_has_launched_and_tested():
    records = replace(EXPLORED, learned=learned(finding("IN1"), finding("UN10", Status.PROBLEM)))
    launched = tuple(record(verb, 20, is_good=True) for verb in ("variance", "launch"))
    records = replace(records, procedures=(*STARTED, *launched), launches=(launch(20),))
    before = advised(records)
    assert (before.next and before.next.name, before.headline) == ("rounds", "Net: explore in rounds")
    after = advised(replace(records, tests=(a_test(21),)))
    assert (after.next, after.headline) == (None, "Net: launched")
    assert after.lines[-1].startswith("Launched: ")
    open_ones = [stage(after, name) for name in ("rounds", "stability", "exploit")]
    assert {each.standing for each in open_ones} == {Standing.NOT_NEEDED}
    assert all(each.sentence.startswith("The launch did not wait for it. ") for each in open_ones)
    assert open_ones[0].command == "raytune-playbook propose digits"  # a new question begins with it


def test_a_procedure_that_was_cut_off_is_gone_on_with_and_its_rounds_explore_nothing():
    part = Part(procedure="batch-size", round="digits", command="raytune-playbook batch-size jobs/digits.py --max 64")
    cut = round_("digits-batch-size-64", 5, part_of=part, state=RoundState.STOPPED)
    advice = advised(project(STARTED[0], parts=(cut,)))
    assert advice.next is not None
    assert (advice.next.name, advice.next.command) == ("batch-size", part.command)
    assert "digits-batch-size-64" in advice.next.sentence
    running = advised(project(STARTED[0], parts=(replace(cut, state=RoundState.RUNNING),)))
    assert running.next is not None and running.next.command is None
    ended = advised(project(STARTED[0], record("batch-size", 6), parts=(cut,)))
    assert stage(ended, "batch-size").standing is Standing.DONE
    assert stage(ended, "rounds").sentence.startswith("No round has been run yet")


@pytest.mark.parametrize(
    ("state", "command"),
    [
        (RoundState.RUNNING, None),
        (RoundState.STOPPED, "raytune-playbook resume digits"),
        (RoundState.FAILED, "raytune-playbook resume digits"),
        (None, "raytune-playbook resume digits"),
    ],
)
def test_a_round_that_has_not_finished_comes_first(state, command):
    advice = advised(replace(EXPLORED, rounds=(round_(state=state),), learned=learned(finding("IN1"))))
    assert advice.next is not None
    assert (advice.next.name, advice.next.command) == ("rounds", command)


def test_the_number_of_steps_is_chosen_only_where_training_is_not_compute_bound():
    without = (STARTED[0], STARTED[1])
    bound = advised(project(*without, rounds=(round_(),), learned=learned(finding("IN8", num_improving=1.0))))
    assert stage(bound, "train-steps").standing is Standing.NOT_NEEDED
    assert bound.next is not None and bound.next.name == "lengthen"
    passes = [finding("IN8", Status.PASSES), finding("IN14", Status.PASSES)]
    right = advised(project(*without, rounds=(round_(),), learned=learned(*passes, changes=False)))
    assert stage(right, "train-steps").standing is Standing.NOT_NEEDED
    for told in ([], passes[:1], [passes[0], finding("IN14", Status.CANNOT_TELL)]):
        unknown = advised(project(*without, rounds=(round_(),), learned=learned(*told, changes=False)))
        assert unknown.next is not None and unknown.next.name == "train-steps"
    fits_nothing = record("train-steps", 3, is_good=False, verdict="Nothing fits the training set.")
    assert stage(advised(project(*without, fits_nothing)), "train-steps").standing is Standing.NOT_NEEDED
    wider = NextCommand(sentence="Search higher.", command="raytune-playbook train-steps jobs/digits.py --high 10")
    refused = advised(project(*without, fits_nothing.model_copy(update={"next": (wider,)})))
    assert refused.next is not None and refused.next.command == wider.command


def test_in14_longer_training_that_the_next_round_is_given_is_told_where_no_longer_training_is_asked_for():
    asks = replace(EXPLORED, learned=learned(finding("IN14")))
    assert stage(advised(asks), "lengthen").standing is Standing.NOT_NEEDED
    assert "IN14 asks for more steps in the next round, above: Do it." in stage(advised(asks), "lengthen").sentence
    shorter = replace(asks, rounds=(round_(max_train_steps=800),))  # it is to train for 800
    assert stage(advised(shorter), "lengthen").sentence.endswith("compute-bound. IN14: What IN14 asks was seen.")
    assert stage(advised(EXPLORED), "lengthen").sentence.endswith("says that training is compute-bound.")


def test_a_round_that_trains_otherwise_than_was_measured_is_told():
    advice = advised(replace(EXPLORED, rounds=(round_(batch_sizes=(128,), max_train_steps=200),)))
    assert stage(advice, "batch-size").sentence.endswith("But digits trains with 128.")
    assert stage(advice, "train-steps").sentence.endswith("But digits trains for 200 steps.")
    same = advised(EXPLORED)
    assert not any("But" in each.sentence for each in same.stages)


def test_a_round_of_python_is_gone_on_with_in_python_and_commands_name_the_storage():
    python = replace(EXPLORED, rounds=(round_(job=None),), learned=learned(finding("IN1")))
    assert advised(python).next.command == "raytune_playbook.propose(round, result)"
    elsewhere = advised(replace(EXPLORED, learned=learned(finding("IN1"))), "s3://bucket/my rounds")
    assert elsewhere.next.command == "raytune-playbook propose digits --storage 's3://bucket/my rounds'"


def test_whatever_is_recorded_there_is_one_thing_to_do_next_or_all_is_settled():
    rng = random.Random(0)
    verbs = [name for name in TITLES if name not in ("new", "rounds")]
    rules = [("IN1", {}), ("UN10", {}), ("IN4", {}), ("IN8", {"num_improving": 1.0}), ("IN14", {}), ("LN7", {})]
    seen = set()
    for _ in range(1500):
        procedures = [
            record(verb, rng.randint(30, 59), is_good=rng.random() < 0.9, bound_to=rng.choice([{}, FACTS]))
            for verb in rng.sample(verbs, rng.choice([rng.randint(0, len(verbs)), len(verbs) - 1]))
        ]
        rounds = tuple(
            round_(
                f"digits_{number}", 10 * number, facts=rng.choice([{}, FACTS, {"optimizer": "sgd"}]),
                state=rng.choice([None, RoundState.FINISHED, RoundState.FINISHED, RoundState.STOPPED]),
            )
            for number in range(1, rng.randint(1, 5))
        )  # fmt: skip
        asked = rng.sample(rules, rng.randint(0, 2))
        found = [finding(rule, rng.choice(list(Status)), **numbers) for rule, numbers in asked]
        came_to = learned(*found, best=rng.choice([None, "validation error 0.1 (all/0)"])) if rounds else None
        ordered = sorted(procedures, key=lambda each: each.ended_at)
        launches = (launch(rng.randint(5, 59)),) if rng.random() < 0.5 else ()
        tests = (a_test(rng.randint(5, 59)),) if launches and rng.random() < 0.5 else ()
        advice = advised(project(*ordered, rounds=rounds, learned=came_to, launches=launches, tests=tests))
        seen.add(None if advice.next is None else (advice.next.name, advice.next.standing))
        unsettled = [each for each in advice.stages if not each.standing.is_settled]
        assert [each.name for each in advice.stages] == list(TITLES)
        assert all(each.sentence.endswith((".", "?", ")")) for each in advice.stages), advice.lines
        num_next = sum(each.standing is Standing.NEXT for each in advice.stages)
        if advice.next is None:
            assert num_next == 0
            assert all(each.standing is Standing.STALE for each in unsettled)
            assert advice.launched is not None
        else:
            assert advice.next in advice.stages
            assert num_next == (advice.next.standing is Standing.NEXT)
            before = advice.stages[: advice.stages.index(advice.next)]
            assert all(each.standing.is_settled or each.standing is Standing.STALE for each in before)
    assert {name for name, _ in filter(None, seen)} >= set(TITLES) - {"new"}
    assert None in seen


def test_records_on_disk_are_read_parts_are_no_rounds_of_their_own_and_broken_ones_are_told(tmp_path):
    own = write_round(tmp_path, name="norms")
    part = write_round(tmp_path, name="norms-batch-size-64", trials_per_arm=1, measured=False)
    part_of = {"procedure": "batch-size", "round": "norms", "command": "raytune-playbook batch-size jobs/norms.py"}
    content = json.loads(part.storage.read("norms-batch-size-64/round.json"))
    content |= {"part_of": part_of, "created_at": "2026-02-02T03:04:05+00:00"}
    part.storage.write("norms-batch-size-64/round.json", json.dumps(content).encode())
    bound_to = {"number of steps": "400"}
    measured = record("batch-size", round="norms", workload="Digits", bound_to=bound_to)
    write_procedure(own, measured)
    write_round(tmp_path, name="norms_best", trials_per_arm=1, arms=[{}], space={})
    own.storage.write("broken/round.json", b"{")
    own.storage.write("norms/procedures/variance/00001.json", b"{")
    other = write_round(tmp_path, name="other", trials_per_arm=1, arms=[{}])
    text = other.storage.read("other/round.json").decode().replace('"name": "Digits"', '"name": "Other"')
    other.storage.write("other/round.json", text.encode())
    advice = raytune_playbook.advise(str(tmp_path))
    assert [each.workload for each in advice.projects] == ["Other", "Digits"]
    assert len(advice.broken) == 2 and "broken/round.json" in advice.broken[0]
    assert "norms/procedures/variance/00001.json" in advice.broken[1]
    digits = advice.projects[1]
    assert stage(digits, "exploit").sentence
    assert stage(digits, "rounds").sentence.startswith("1 round, the newest norms: best validation error 0.02122")
    assert stage(digits, "batch-size").standing is Standing.DONE
    write_procedure(own, measured.model_copy(update={"bound_to": {"number of steps": "200"}}))
    (_, digits) = raytune_playbook.advise(str(tmp_path)).projects
    assert "the number of steps was 200 and is 400" in stage(digits, "batch-size").sentence
    write_procedure(own, measured.model_copy(update={"bound_to": {"hardware": "cuda, AVX512"}}))
    (_, digits) = raytune_playbook.advise(str(tmp_path)).projects
    assert "the hardware was cuda, AVX512 and is cpu, AVX2" in stage(digits, "batch-size").sentence


def test_the_registry_on_disk_is_what_is_launched_and_one_that_is_broken_is_told(tmp_path):
    own, storage = write_round(tmp_path, name="norms"), Storage(str(tmp_path))
    workload = own.round().workload
    launched = write_launch(storage, launch(round_="norms", workload=workload, launched_at="2030-01-01T00:00:00Z"))
    write_launch(storage, launch(workload=NET, launched_at="2030-01-01T00:00:00Z"))
    (advice,) = raytune_playbook.advise(str(tmp_path)).projects
    assert advice.launched is not None and advice.launched.startswith("all/00003 of norms is launch 1: ")
    write_test(storage, a_test(launch=launched.number, tested_at="2030-01-02T00:00:00Z"))
    (advice,) = raytune_playbook.advise(str(tmp_path)).projects
    assert advice.headline == "Digits: launched"
    closed = ClosedRecord(workload=workload, round="norms", why="folded", closed_at="2030-01-03T00:00:00Z")
    close_workload(storage, closed)
    (advice,) = raytune_playbook.advise(str(tmp_path)).projects
    assert "Closed to launches since 2030-01-03 (rule AD8)" in advice.lines[-1]
    storage.write("_launches/00001.json", b"{")
    told = raytune_playbook.advise(str(tmp_path))
    assert told.projects[0].launched is None
    assert len(told.broken) == 1 and "_launches/00001.json" in told.broken[0]


def test_a_candidate_explores_nothing_and_is_run_retrained_and_launched_under_its_own_name():
    run = NextCommand(sentence="Run it.", command="raytune-playbook run jobs/digits_exploited.py")
    then = NextCommand(sentence="Then.", command="raytune-playbook variance digits_exploited")
    records = replace(EXPLORED, procedures=(*STARTED, record("exploit", 20, is_good=False, next=(run, then))))
    advice = advised(records)
    assert advice.next is not None
    assert (advice.next.name, advice.next.command) == ("variance", run.command)
    candidate = round_("digits_exploited", 25, is_candidate=True)
    advice = advised(replace(records, candidates=(candidate,)))
    assert advice.next is not None
    assert (advice.next.name, advice.next.command) == ("variance", then.command)
    assert stage(advice, "rounds").sentence.startswith("1 round, the newest digits: ")
    assert stage(advice, "exploit").standing is Standing.DONE
    varied = replace(records, candidates=(candidate,), procedures=(*records.procedures, record("variance", 30)))
    advice = advised(varied)
    assert advice.next is not None
    assert (advice.next.name, advice.next.command) == (
        "launch",
        "raytune-playbook launch digits_exploited --complexity none",
    )
    lengthened = record("lengthen", 31, is_good=True, next=(NextCommand(sentence="Run.", command=f"{run.command} -"),))
    longer = replace(varied, procedures=(*varied.procedures, lengthened))
    advice = advised(longer)  # the newest record names another job to be run first
    assert advice.next is not None
    assert (advice.next.name, advice.next.command) == ("variance", f"{run.command} -")
    for procedures, candidates in (
        ((*longer.procedures, record("launch", 32, is_good=False)), longer.candidates),  # passed over
        (longer.procedures, (*longer.candidates, round_("digits_800_best", 33, is_candidate=True))),  # run
    ):
        passed = advised(replace(longer, procedures=procedures, candidates=candidates))
        assert passed.next is not None and passed.next.name == "launch"
    older = replace(varied, rounds=(round_(minute=28),))
    assert advised(older).next.command == "raytune-playbook exploit digits"
