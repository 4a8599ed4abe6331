"""HaltonSearch on its own: its points, and every pitfall of a real Tuner, kills of the driver included."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from ray import tune
from ray.cluster_utils import Cluster

from raytune_playbook import HaltonSearch
from raytune_playbook.errors import SpaceError, StorageError
from raytune_playbook.search import halton
from tests.searchers.conformance import InOrderConformance, SpaceConformance
from tests.waiting import wait_for

SPACE = {"learning_rate": tune.loguniform(1e-4, 1.0), "model": {"layers": tune.randint(1, 9)}}
SIX = {"a": tune.choice(["x", "y", "z"]), "b": tune.randint(0, 2), "constant": [1, 2]}


def given(search: HaltonSearch, num_points: int) -> list[object]:
    """What the next suggestions are, of trials that end at once."""
    suggestions = []
    for _ in range(num_points):
        suggestions.append(search.suggest("trial"))
        search.on_trial_complete("trial", result={"loss": 1.0})
    return suggestions


class TestHaltonSearch(SpaceConformance, InOrderConformance):
    def make(self, max_concurrent: int | None = None) -> HaltonSearch:
        return HaltonSearch(seed=3, max_concurrent=max_concurrent)


# ---------------------------------------------------------------------- points, without Tune


def test_qr3_trial_n_gets_halton_point_n_whatever_the_results():
    search = HaltonSearch({"a": tune.uniform(0, 1), "b": tune.uniform(0, 1)}, seed=3, metric="loss", mode="min")
    for index in range(6):
        a, b = halton.point(index, 2, 3)
        assert search.suggest(f"trial{index}") == {"a": a, "b": b}
        if index % 2:
            search.on_trial_complete(f"trial{index}", result=None, error=True)
        else:
            search.on_trial_result(f"trial{index}", {"loss": float("nan")})
    search.on_trial_complete("a trial of an earlier session")
    assert (search.metric, search.mode) == ("loss", "min")


def test_qr4_ten_points_and_ten_more_from_start_10_are_twenty_points():
    assert given(HaltonSearch(SPACE), 10) + given(HaltonSearch(SPACE, start=10), 10) == given(HaltonSearch(SPACE), 20)
    assert given(HaltonSearch(SIX), 2) + given(HaltonSearch(SIX, start=2), 5) == given(HaltonSearch(SIX), 7)


def test_a_finite_space_gives_each_point_once_then_says_that_it_has_ended(caplog):
    search = HaltonSearch(SIX, num_points=9)
    assert "9 points are asked for, but there are only 6" in caplog.text
    points = given(search, 8)
    assert points[6:] == [HaltonSearch.FINISHED] * 2
    expected = itertools.product("xyz", range(2))
    assert sorted((point["a"], point["b"]) for point in points[:6]) == sorted(expected)
    assert all(point["constant"] == [1, 2] for point in points[:6])


def test_constants_alone_make_one_point_and_num_points_ends_any_search():
    assert given(HaltonSearch({"k": 1}), 2) == [{"k": 1}, HaltonSearch.FINISHED]
    points = given(HaltonSearch(SPACE, num_points=2), 3)
    assert points[2] == HaltonSearch.FINISHED and HaltonSearch.FINISHED not in points[:2]


def test_points_to_evaluate_come_first_and_leave_the_others_as_they_were():
    first = {"learning_rate": 0.5, "model": {"layers": 8}}
    search = HaltonSearch(SPACE, points_to_evaluate=[first], num_points=4)
    assert given(search, 5) == [first, *given(HaltonSearch(SPACE), 3), HaltonSearch.FINISHED]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"seed": -1}, "seed"),
        ({"start": 1.5}, "start"),
        ({"num_points": 0}, "num_points must be a positive integer or None, but got 0"),
        ({"max_concurrent": True}, "max_concurrent must be"),
        ({"mode": "minimum"}, "mode must be 'min' or 'max'"),
        ({"space": SIX, "start": 6}, "the space has 6 and start is 6"),
        ({"space": [tune.uniform(0, 1)]}, "must be a dict of domains"),
        ({"space": SIX, "points_to_evaluate": ["x"]}, "must be a dict of values"),
        ({"space": SIX, "points_to_evaluate": [{"a": "x"}]}, r"lacks \['b'\]"),
        ({"space": SIX, "points_to_evaluate": [{"a": "x", "b": 2}]}, "b=2 is none of"),
    ],
)
def test_a_wrong_argument_is_refused_in_a_sentence(arguments, sentence):
    with pytest.raises(SpaceError, match=sentence):
        HaltonSearch(**arguments)


# ---------------------------------------------------------------------- snapshots, without Tune


def test_qr6_points_to_evaluate_are_not_given_again_after_a_restore(tmp_path):
    first = {"a": "x", "b": 1}
    whole = given(HaltonSearch(SIX, seed=5, points_to_evaluate=[first]), 7)
    for cut in range(7):
        search = HaltonSearch(SIX, seed=5, points_to_evaluate=[first])
        before = given(search, cut)
        search.save(str(tmp_path / "search.json"))
        again = HaltonSearch(SIX, seed=5, points_to_evaluate=[first])
        again.restore(str(tmp_path / "search.json"))
        assert before + given(again, 7 - cut) == whole
    saved = json.loads((tmp_path / "search.json").read_text())
    assert (saved["version"], saved["seed"], saved["num_suggested"]) == (1, 5, 6)


def test_the_space_may_be_given_after_the_snapshot(tmp_path):
    HaltonSearch(SPACE).save(str(tmp_path / "search.json"))
    again = HaltonSearch()
    again.restore(str(tmp_path / "search.json"))
    with pytest.raises(SpaceError, match="differs in space"):
        again.set_search_properties(None, None, {"other": tune.uniform(0, 1)})


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({"space": SIX}, "space"),
        ({"seed": 1}, "seed"),
        ({"start": 1, "seed": 1}, "seed and start"),
        ({"points_to_evaluate": [{"learning_rate": 1.0, "model": {"layers": 1}}]}, "points_to_evaluate"),
    ],
)
def test_a_snapshot_of_another_search_is_refused(tmp_path, other, difference):
    HaltonSearch(SPACE).save(str(tmp_path / "search.json"))
    with pytest.raises(SpaceError, match=f"differs in {difference};"):
        HaltonSearch(**{"space": SPACE, **other}).restore(str(tmp_path / "search.json"))


def test_a_snapshot_of_another_version_is_refused(tmp_path):
    path = tmp_path / "search.json"
    search = HaltonSearch(SPACE)
    search.save(str(path))
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(StorageError, match=r"must be of format .*HaltonSearch, version 1"):
        search.restore(str(path))


# ---------------------------------------------------------------------- a real Tuner


def report(config: dict[str, object]) -> None:
    tune.report({"loss": 1.0, "seen": repr(config)})


def tuner(search: HaltonSearch, folder: Path, space: dict[str, object] | None = None, **settings: object) -> tune.Tuner:
    return tune.Tuner(
        tune.with_resources(report, {"cpu": 0.1}),
        param_space=space,
        tune_config=tune.TuneConfig(search_alg=search, reuse_actors=True, **settings),
        run_config=tune.RunConfig(name="experiment", storage_path=str(folder), verbose=0),
    )


def test_every_domain_reaches_the_trainable_through_param_space(cluster: Cluster, tmp_path):
    space = {
        "uniform": tune.uniform(0, 1),
        "log": {"uniform": tune.loguniform(1e-3, 1), "int": tune.lograndint(1, 100), "constant": (1, 2)},
        "int": tune.randint(0, 10),
        "q": {
            "uniform": tune.quniform(0, 1, 0.1),
            "loguniform": tune.qloguniform(0.1, 10, 0.1),
            "int": tune.qrandint(0, 10, 5),
            "logint": tune.qlograndint(10, 100, 10),
            "normal": tune.qrandn(0, 1, 0.5),
        },
        "normal": tune.randn(1, 2),
        "choice": tune.choice(["a", 1, None, True]),
        "object": np.arange(3),
        "constant": "kept",
    }
    search = HaltonSearch(seed=1, max_concurrent=3)
    results = tuner(search, tmp_path, space, num_samples=4, max_concurrent_trials=2, metric="loss", mode="min").fit()
    assert not results.errors
    domains = {name: domain for name, domain in space.items() if name not in ("object", "constant")}
    alone = HaltonSearch(domains, seed=1)
    expected = [repr(point | {"log": point["log"] | {"constant": (1, 2)}}) for point in given(alone, 4)]
    seen = []
    for result in results:
        config = eval(result.metrics["seen"], {"array": np.array})  # what the trainable saw, types included
        assert config.pop("object").tolist() == [0, 1, 2] and config.pop("constant") == "kept"
        seen.append(config)
    by_name = [{name: config[name] for name in eval(expected[0])} for config in seen]
    assert sorted(map(str, map(_sorted, by_name))) == sorted(str(_sorted(eval(text))) for text in expected)


def _sorted(config: dict[str, object]) -> dict[str, object]:
    return {name: _sorted(value) if isinstance(value, dict) else value for name, value in sorted(config.items())}


@pytest.mark.parametrize(
    ("search", "space", "sentence"),
    [
        (HaltonSearch(), None, "needs a search space, but has none"),
        (HaltonSearch(SPACE), {"g": tune.grid_search([1, 2])}, "'g': grid_search"),
        (HaltonSearch(SPACE), {"x": tune.uniform(0, 1)}, "one space, but param_space has x beside"),
        (HaltonSearch(points_to_evaluate=[{"x": 2}]), {"x": tune.uniform(0, 1)}, "x=2 is none of"),
    ],
)
def test_what_does_not_go_together_reaches_the_user_of_a_tuner_as_one_sentence(
    cluster: Cluster, tmp_path, search, space, sentence
):
    with pytest.raises(SpaceError, match=sentence) as caught:
        tuner(search, tmp_path, space, num_samples=2).fit()
    assert "\n" not in str(caught.value)


DRIVER = """
    import json, logging, pathlib, sys, time
    import ray
    from ray import tune
    from raytune_playbook import HaltonSearch

    address, folder, action = sys.argv[1:]
    space = {"x": tune.uniform(0, 1), "folder": folder}

    def train(config):
        folder = pathlib.Path(config["folder"])
        mark, started = folder / str(config["x"]), folder / f"started {config['x']}"
        started.touch()
        while (folder / "hold").exists() and len(list(folder.glob("started *"))) > 5:
            time.sleep(0.05)
        if config["x"] < 0.3 and not mark.exists():
            mark.touch()
            raise ValueError("fails the first time")
        tune.report({"loss": 1.0})

    trainable = tune.with_resources(train, {"cpu": 0.1})
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    if action == "start":
        tuner = tune.Tuner(
            trainable,
            param_space=space,
            tune_config=tune.TuneConfig(
                search_alg=HaltonSearch(seed=2), num_samples=12, max_concurrent_trials=2, reuse_actors=True
            ),
            run_config=tune.RunConfig(name="killed", storage_path=folder, verbose=0),
        )
    else:
        tuner = tune.Tuner.restore(folder + "/killed", trainable, param_space=space, restart_errored=True)
    results = tuner.fit()
    print(json.dumps([[result.config["x"], result.error is None] for result in results]))
"""


@pytest.fixture(scope="module")
def killed(cluster: Cluster, tmp_path_factory) -> Path:
    """An experiment of 12 trials whose driver was killed in the middle, while every trial of x < 0.3 fails at first."""
    folder = tmp_path_factory.mktemp("killed")
    (folder / "driver.py").write_text(textwrap.dedent(DRIVER))
    (folder / "hold").touch()  # all but the first few trials, until the driver is dead
    driver = start_driver(cluster, folder, "start")
    try:
        wait_for(lambda: driver.poll() is not None or num_in_table(folder / "killed") >= 5)
        assert driver.poll() is None, driver.communicate()
    finally:
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        (folder / "hold").unlink()
    return folder


def start_driver(cluster: Cluster, folder: Path, action: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(folder / "driver.py"), cluster.address, str(folder), action]
    environment = os.environ | {"TUNE_GLOBAL_CHECKPOINT_S": "0.5"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def num_in_table(experiment: Path) -> int:
    """How many trials Tune's newest snapshot knows; 0 where there is none that can be read."""
    table = max(experiment.glob("experiment_state-*.json"), default=None)
    try:
        return len(json.loads(table.read_text())["trial_data"]) if table else 0
    except ValueError:
        return 0  # just being written


def restored_in_another_process(cluster: Cluster, folder: Path) -> dict[float, bool]:
    driver = start_driver(cluster, folder, "restore")
    printed, errors = driver.communicate(timeout=240)
    assert driver.returncode == 0, errors
    return succeeded(json.loads(printed.strip().splitlines()[-1]))


def succeeded(trials: list[tuple[float, bool]]) -> dict[float, bool]:
    """Whether a point's trial succeeded, once it is certain that every index from 0 to 11 has exactly one."""
    assert sorted(x for x, _ in trials) == sorted(halton.points(12, 1, 2)[:, 0])
    return dict(trials)


def copy_of(killed: Path, tmp_path: Path) -> Path:
    """What the killed driver has left, to be restored or tampered with."""
    shutil.copy(killed / "driver.py", tmp_path)
    return Path(shutil.copytree(killed / "killed", tmp_path / "killed"))


def only(experiment: Path, pattern: str) -> Path:
    (path,) = experiment.glob(pattern)
    return path


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def train(config: dict[str, object]) -> None:
    """The driver's trainable, by its name, without failures."""
    tune.report({"loss": 1.0})


def tuner_restored(experiment: Path, space: dict[str, object] | None, **settings: bool) -> tune.Tuner:
    trainable = tune.with_resources(train, {"cpu": 0.1})
    return tune.Tuner.restore(str(experiment), trainable, param_space=space, **(settings or {"restart_errored": True}))


def restored_here(experiment: Path, space: dict[str, object] | None, **settings: bool) -> dict[float, bool]:
    try:
        results = tuner_restored(experiment, space, **settings).fit()
    except StorageError as error:  # another test has restored another copy of the experiment
        if "call Tuner.restore again" not in str(error):
            raise
        results = tuner_restored(experiment, space, **settings).fit()
    return succeeded([(result.config["x"], result.error is None) for result in results])


SAME = {"x": tune.uniform(0, 1), "folder": "as before"}


def test_a_killed_driver_loses_and_repeats_no_index_whether_trials_are_restarted_or_resumed(
    cluster: Cluster, killed: Path, tmp_path
):
    experiment = copy_of(killed, tmp_path)
    assert 5 <= num_in_table(experiment) < 12
    failed = [x for x, fine in restored_in_another_process(cluster, tmp_path).items() if not fine]
    assert all(x < 0.3 for x in failed)
    assert all(restored_here(experiment, SAME, resume_errored=True).values())


def test_a_cut_off_snapshot_of_the_searcher_is_made_up_for_by_tunes_table(killed: Path, tmp_path, caplog):
    experiment = copy_of(killed, tmp_path)
    cut_off(only(experiment, "halton-search-*.json"))
    assert all(restored_here(experiment, SAME).values())
    assert "goes on from Tune's trials, without comparing the space and the seed" in caplog.text
    # What this session has left in Tune's scratch folder is not taken for another copy's.
    shutil.rmtree(experiment)
    with pytest.raises(StorageError, match=r"newer files of another session, such as .* call Tuner\.restore again"):
        tuner_restored(copy_of(killed, tmp_path), SAME).fit()


def test_files_of_different_snapshots_make_neither_a_gap_nor_a_trial_too_many(killed: Path, tmp_path, caplog):
    """As a kill leaves them that hits Tune while it copies a snapshot to the storage, here the table alone."""
    experiment = copy_of(killed, tmp_path)
    generator = only(experiment, "search_gen_state-*.json")
    state = pickle.loads(generator.read_bytes())
    generator.write_bytes(pickle.dumps(state | {"counter": state["counter"] - 2}))
    snapshot = only(experiment, "halton-search-*.json")
    saved = json.loads(snapshot.read_text())
    snapshot.write_text(json.dumps(saved | {"num_suggested": saved["num_suggested"] - 2}))
    assert all(restored_here(experiment, SAME).values())
    assert "while its own snapshot knows of" in caplog.text


@pytest.mark.parametrize(
    ("pattern", "space", "error", "sentence"),
    [
        (None, {"x": tune.uniform(0, 2), "folder": ""}, SpaceError, "differs in space; restore it with the former"),
        (None, None, SpaceError, "the same again to Tuner.restore"),
        ("experiment_state-*.json", SAME, StorageError, r"start a new experiment with HaltonSearch\(seed=2, start=n\)"),
        ("search_gen_state-*.json", SAME, StorageError, r"start a new experiment with HaltonSearch\(seed=2, start=n\)"),
        ("tuner.pkl", SAME, (EOFError, pickle.UnpicklingError), "Ran out of input|truncated"),
    ],
)
def test_an_experiment_that_cannot_go_on_says_so_and_stays_as_it_was(
    killed: Path, tmp_path, pattern, space, error, sentence
):
    experiment = copy_of(killed, tmp_path)
    if pattern is not None:
        cut_off(only(experiment, pattern))
    before = {path: path.read_bytes() for path in experiment.glob("*.*") if path.is_file()}
    with pytest.raises(error, match=sentence):
        restored_here(experiment, space)
    assert {path: path.read_bytes() for path in experiment.glob("*.*") if path.is_file()} == before


def test_a_pickled_searcher_serves_a_new_tuner(cluster: Cluster, tmp_path):
    """Such as one that is sent to a task, where a Tuner is made of it: only a restored one needs its snapshot."""
    search = pickle.loads(pickle.dumps(HaltonSearch({"k": 1})))
    assert len(tuner(search, tmp_path, num_samples=1).fit()) == 1
