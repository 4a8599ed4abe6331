"""Ray's private names: what we rely on, so that an upgrade of Ray fails here first; and that no module uses others."""

from __future__ import annotations

import ast
import builtins
import inspect
import io
import json
import mmap
import platform
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TypedDict

import psutil
import pytest
import ray
from ray._private.utils import check_version_info
from ray._private.worker import print_worker_logs
from ray._raylet import GCS_AUTOSCALER_CLUSTER_CONFIG_KEY, GCS_AUTOSCALER_STATE_NAMESPACE
from ray.core.generated.autoscaler_pb2 import ClusterConfig, NodeGroupConfig
from ray.experimental.internal_kv import _internal_kv_put
from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer
from ray.train.v2._internal import constants as train_constants
from ray.train.v2._internal.logging.patch_print import patch_print_function
from ray.tune.execution.tune_controller import TuneController, _get_max_pending_trials
from ray.tune.experimental.output import get_air_verbosity
from ray.tune.search import BasicVariantGenerator, SearchGenerator
from ray.tune.utils.callback import _create_default_callbacks
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from ray.util.state import list_actors

import raytune_playbook
from raytune_playbook import run
from raytune_playbook.engine.cluster import ray_internals
from raytune_playbook.engine.cluster.ray_internals import (
    HEAD,
    LOCAL_CLUSTER,
    NUM_STARTS,
    TRAIN_ENVIRONMENT,
    TUNE_ENVIRONMENT,
    NodeGroup,
    OtherVersions,
    Probe,
    draining_nodes,
    free_amounts,
    lost_hosts,
    memory_of_node,
    node_groups,
    other_versions,
    placement_groups,
    probe,
    raylet_silenced,
    session_folder,
    start_local_cluster,
    wants_token,
)
from raytune_playbook.engine.tune.round_search import RoundSearch
from raytune_playbook.errors import RunError
from tests.waiting import wait_for

DOOR = "raytune_playbook/engine/cluster/ray_internals.py"
PACKAGE = Path(raytune_playbook.__file__).parent

PRIVATE = re.compile(
    r"\bray(\.\w+)*\._\w+"  # ray._private, ray.tune._internal, ...
    r"|\bray\.(core|train\.v2|experimental|internal|air\.constants|tune\.(execution|experiment|utils|impl|constants))\b"
    r"|_system_config|__internal_head__"
)
VARIABLE = re.compile(r"'(TUNE|RAY_TRAIN|RAY_AIR|RAY_CHDIR|RAY_TUNE|RAY_DATA)_\w+'")
"""Environment variables of Ray's libraries; those by which a user finds a cluster are documented."""


# ------------------------------------------------------------------ no other module


def names_of(source: str) -> set[str]:
    """Every dotted name, imported name and keyword of a module, and every string that is no docstring, in quotes."""
    tree, names = ast.parse(source), set[str]()
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Attribute() | ast.Name():
                names.add(ast.unparse(node))
            case ast.Import():
                names |= {each.name for each in node.names}
            case ast.ImportFrom(module=str(module)):
                names |= {f"{module}.{each.name}" for each in node.names}
            case ast.keyword(arg=str(name)):
                names.add(name)
            case ast.Constant(value=str(text)) if id(node) not in docstrings:
                names.add(f"'{text}'")
    return names


def private_names(source: str) -> set[str]:
    return {name for name in names_of(source) if PRIVATE.search(name) or VARIABLE.fullmatch(name)}


def test_no_other_module_uses_a_private_name_of_ray():
    found = {
        str(path.relative_to(PACKAGE.parent)): private
        for path in PACKAGE.rglob("*.py")
        if (private := private_names(path.read_text()))
    }
    assert found.pop(DOOR)
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "import ray._private.worker as w",
        "from ray._private import worker",
        "from ray.train.v2.api.config import ScalingConfig",
        "from ray.core.generated import gcs_pb2",
        "x = ray._private.state.state",
        "x = ray.util._internal_thing()",
        "ray.init(_system_config={})",
        "os.environ['TUNE_GLOBAL_CHECKPOINT_S'] = '1'",
        "x = {'RAY_TRAIN_METRICS_ENABLED': '0'}",
        "from ray.experimental.internal_kv import _internal_kv_put",
        "x = 'node:__internal_head__'",
        "from ray.tune import _registry",
    ],
)
def test_a_private_name_is_recognized(line):
    assert private_names(line)
    assert not private_names(f'"""{line}"""')


# ------------------------------------------------------------------ the cluster's state


def test_what_each_node_has_and_has_free_and_which_one_is_the_head(cluster):
    added = cluster.add_node(num_cpus=2)
    try:
        nodes = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
        assert [node_id for node_id, amounts in nodes.items() if HEAD in amounts] == [cluster.head_node.node_id]
        wait_for(lambda: free_amounts().keys() == nodes.keys())
        assert free_amounts()[added.node_id]["CPU"] == 2
        there = NodeAffinitySchedulingStrategy(added.node_id, soft=False)
        busy = Asker.options(num_cpus=2, scheduling_strategy=there).remote()
        wait_for(lambda: free_amounts()[added.node_id].get("CPU", 0) == 0)

        # A node that is drained goes at once where nothing runs on it.
        assert draining_nodes() == set()
        drain(cluster.address, added.node_id)
        wait_for(lambda: draining_nodes() == {added.node_id}, timeout_s=60)
        ray.kill(busy)
    finally:
        cluster.remove_node(added)


def drain(address: str, node_id: str) -> None:
    why = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "a test"]
    ray_command = str(Path(sys.executable).with_name("ray"))
    command = [ray_command, "drain-node", "--address", address, "--node-id", node_id, *why]
    subprocess.run([*command, "--deadline-remaining-seconds", "300"], check=True, capture_output=True, timeout=120)


def report(config: ClusterConfig) -> None:
    """As an autoscaler reports what it may add."""
    _internal_kv_put(
        GCS_AUTOSCALER_CLUSTER_CONFIG_KEY,
        config.SerializeToString(),
        overwrite=True,
        namespace=GCS_AUTOSCALER_STATE_NAMESPACE,
    )


def test_what_the_autoscaler_may_add(cluster):
    assert node_groups() == []
    limited = NodeGroupConfig(name="limited", resources={"CPU": 16, "GPU": 4}, min_count=0, max_count=2)
    report(ClusterConfig(node_group_configs=[limited, NodeGroupConfig(resources={"CPU": 1}, max_count=-1)]))
    try:
        assert node_groups() == [NodeGroup({"CPU": 16, "GPU": 4}, 2), NodeGroup({"CPU": 1}, None)]
    finally:
        report(ClusterConfig())
    assert node_groups() == []


@ray.remote(num_cpus=0)
class Asker:
    """Asks for room that there is not, as a Train controller does."""

    def ask(self, lifetime: str | None) -> str:
        return placement_group([{"CPU": 1000}], lifetime=lifetime).id.hex()


def test_who_asked_for_a_placement_group(cluster):
    asker = Asker.remote()
    by_actor, detached = ray.get([asker.ask.remote(None), asker.ask.remote("detached")])
    by_driver = placement_group([{"memory": 1}])

    def facts() -> dict[str, tuple[bool, bool]]:
        asked = {each.group.id.hex(): each for each in placement_groups()}
        ours = {name: asked[name] for name in (by_actor, detached, by_driver.id.hex()) if name in asked}
        assert {each.job_id for each in ours.values()} <= {ray.get_runtime_context().get_job_id()}
        return {name: (each.by_dead_actor, each.is_detached) for name, each in ours.items()}

    try:
        ours = {by_actor: (False, False), detached: (False, True), by_driver.id.hex(): (False, False)}
        assert facts() == ours
        ray.kill(asker)
        wait_for(lambda: facts() == ours | {by_actor: (True, False), detached: (True, True)})
    finally:
        for each in placement_groups():
            if each.group.id.hex() in (by_actor, detached, by_driver.id.hex()):
                remove_placement_group(each.group)
    wait_for(lambda: facts() == {})  # what was removed is left out


# ------------------------------------------------------------------ the terminal


def test_the_raylet_is_silent_only_within():
    data = {"pid": "raylet", "ip": "127.0.0.1", "is_err": True, "lines": ["a remark"], "job": None}

    def printed() -> str:
        file = io.StringIO()
        print_worker_logs(data, file)
        return file.getvalue()

    assert "a remark" in printed()
    with pytest.raises(KeyboardInterrupt), raylet_silenced():
        assert printed() == ""
        raise KeyboardInterrupt
    assert "a remark" in printed()


# ------------------------------------------------------------------ a cluster of our own


@pytest.mark.parametrize("num_slow", [0, 2, 3])
def test_a_cluster_that_starts_too_slowly_is_started_again_and_then_refused(monkeypatch, num_slow):
    """Ray's own words, which have no type, are looked for in its source."""
    (sentence,) = re.findall(r"(The current node timed out during startup\. )", inspect.getsource(ray._private.node))
    calls = []

    def init(**arguments: object) -> None:
        calls.append(arguments)
        if len(calls) <= num_slow:
            raise Exception(sentence)

    monkeypatch.setattr(ray, "init", init)
    if num_slow < NUM_STARTS:
        start_local_cluster(num_cpus=2, logging_level=0)
        assert len(calls) == num_slow + 1
    else:
        with pytest.raises(RunError, match="it is too busy"):
            start_local_cluster(num_cpus=2, logging_level=0)
        assert len(calls) == NUM_STARTS
    assert all(call["num_cpus"] == 2 and call["address"] == "local" for call in calls)


def test_what_else_goes_wrong_when_a_cluster_starts_is_raised_at_once(monkeypatch):
    calls = []

    def init(**arguments: object) -> None:
        calls.append(arguments)
        raise ValueError("something else")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(ValueError, match="something else"):
        start_local_cluster(num_cpus=2, logging_level=0)
    assert len(calls) == 1


def test_objects_are_freed_soon_in_a_cluster_of_our_own(monkeypatch):
    """That Ray takes them, tests show which start the command line without an address."""
    given: dict[str, object] = {}
    monkeypatch.setattr(ray, "init", lambda **arguments: given.update(arguments))
    start_local_cluster(num_cpus=2, logging_level=0)
    assert (given["_system_config"], given["num_cpus"], given["address"]) == (LOCAL_CLUSTER, 2, "local")
    raylet = Path(ray.__file__).parent / "core" / "src" / "ray" / "raylet" / "raylet"
    with raylet.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as program:
        assert [name for name in LOCAL_CLUSTER if program.find(name.encode()) < 0] == []  # it refuses other names


# ------------------------------------------------------------------ Train's and Tune's environment


@pytest.fixture
def environment(monkeypatch, request):
    """Sets variables, or leaves those unset that a test leaves out."""

    def set_(variables: dict[str, str], *, but: str = "") -> None:
        for name, value in variables.items():
            if name == but:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)

    return set_


def train_callbacks() -> set[str]:
    trainer = TorchTrainer(lambda: None, scaling_config=ScalingConfig(num_workers=1))
    return {type(each).__name__ for each in trainer._create_default_callbacks()}


def test_train_leaves_folders_and_metrics_alone(cluster, environment):
    environment(TRAIN_ENVIRONMENT)
    ours = train_callbacks()
    for name, callbacks in [
        ("RAY_CHDIR_TO_TRIAL_DIR", {"WorkingDirectorySetupCallback"}),
        ("RAY_TRAIN_METRICS_ENABLED", {"ControllerMetricsCallback", "WorkerMetricsCallback"}),
    ]:
        environment(TRAIN_ENVIRONMENT, but=name)
        assert train_callbacks() == ours | callbacks


def test_train_leaves_print_alone(environment, monkeypatch):
    monkeypatch.setattr(builtins, "print", print)  # put back in the end
    own = builtins.print
    environment(TRAIN_ENVIRONMENT)
    patch_print_function()
    assert builtins.print is own
    environment(TRAIN_ENVIRONMENT, but="RAY_TRAIN_ENABLE_PRINT_PATCH")
    patch_print_function()
    assert builtins.print is not own


def test_every_variable_for_train_is_known_to_it_and_reaches_the_controller(gangs, make_round, tmp_path, quiet):
    run(make_round("train", trials_per_study=1), storage=str(tmp_path), gangs=gangs, console=quiet)
    known = {value for value in vars(train_constants).values() if isinstance(value, str)} | {"RAY_CHDIR_TO_TRIAL_DIR"}
    assert TRAIN_ENVIRONMENT.keys() <= known
    address = ray.get_runtime_context().gcs_address  # not whichever cluster of this machine started last
    of_train = [("class_name", "=", "TrainController"), ("state", "=", "ALIVE")]
    controllers = list_actors(address, filters=of_train, detail=True)
    assert controllers
    of_the_controller = TRAIN_ENVIRONMENT.keys() & train_constants.ENV_VARS_TO_PROPAGATE
    assert {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"} <= of_the_controller
    for controller in controllers:
        found = json.loads(controller.serialized_runtime_env or "{}").get("env_vars", {})
        assert {name: found.get(name) for name in of_the_controller} == {
            name: TRAIN_ENVIRONMENT[name] for name in of_the_controller
        }


def test_tune_writes_no_files_of_its_own_and_prints_nothing(environment):
    def names(callbacks: list[object]) -> set[str]:
        return {type(each).__name__ for each in callbacks}

    def made() -> set[str]:
        return names(_create_default_callbacks([], air_verbosity=get_air_verbosity(0)))

    environment(TUNE_ENVIRONMENT)
    ours = made()
    assert get_air_verbosity(0) is None
    environment(TUNE_ENVIRONMENT, but="TUNE_DISABLE_AUTO_CALLBACK_LOGGERS")
    assert {"CSVLoggerCallback", "JsonLoggerCallback"} <= made() - ours
    environment(TUNE_ENVIRONMENT, but="RAY_AIR_NEW_OUTPUT")
    assert get_air_verbosity(0) is not None


def test_tune_starts_as_many_trials_as_we_let_it(environment):
    search = SearchGenerator(RoundSearch([], max_concurrent=3))
    environment(TUNE_ENVIRONMENT)
    assert _get_max_pending_trials(search) == int(TUNE_ENVIRONMENT["TUNE_MAX_PENDING_TRIALS_PG"])
    environment(TUNE_ENVIRONMENT, but="TUNE_MAX_PENDING_TRIALS_PG")
    assert _get_max_pending_trials(search) == 1


def test_tune_saves_its_state_at_the_end_alone(environment, monkeypatch):
    """Read where `TuneController` makes what saves it; without it the period follows from how long a save takes."""
    given: dict[str, object] = {}

    class Stop(Exception):  # noqa: N818 - ends the constructor once it has read what is asked about
        pass

    def checkpoint_manager(controller: TuneController) -> None:
        given["period"] = controller._checkpoint_period
        raise Stop

    monkeypatch.setattr(TuneController, "_create_checkpoint_manager", checkpoint_manager)
    for but, period in [("", TUNE_ENVIRONMENT["TUNE_GLOBAL_CHECKPOINT_S"]), ("TUNE_GLOBAL_CHECKPOINT_S", "auto")]:
        environment(TUNE_ENVIRONMENT, but=but)
        with pytest.raises(Stop):
            TuneController(search_alg=BasicVariantGenerator(), storage=object(), reuse_actors=True)
        assert given["period"] == period


def test_every_variable_for_tune_has_a_test_here():
    assert TUNE_ENVIRONMENT.keys() == {
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS",
        "RAY_AIR_NEW_OUTPUT",
        "TUNE_MAX_PENDING_TRIALS_PG",
        "TUNE_GLOBAL_CHECKPOINT_S",
    }


WITHOUT_RAY = """
import numpy as np, ray, ray.data
from raytune_playbook.engine.cluster.ray_internals import automatic_start_off
with automatic_start_off():
    for make in (lambda: ray.put(1), lambda: ray.data.from_numpy(np.zeros(2)), ray.remote(lambda: 1).remote, ray.nodes):
        try:
            make()
        except ray.exceptions.RaySystemError:
            continue
        raise AssertionError(make)
assert not ray.is_initialized()
print(ray._private.auto_init_hook.enable_auto_connect)
"""


def test_ray_does_not_start_by_itself_where_that_is_off():
    done = subprocess.run([sys.executable, "-c", WITHOUT_RAY], capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr


def test_a_probe_tells_a_cluster_from_nothing(cluster, monkeypatch):
    """`tests/submission` has a cluster that wants a token."""
    assert probe(cluster.address) is Probe.ANSWERS
    monkeypatch.setattr(ray_internals, "PROBE_S", 1.0)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        assert probe(f"127.0.0.1:{nobody.getsockname()[1]}") is Probe.SILENT


def test_a_cluster_without_a_token_wants_none(cluster):
    """`tests/submission` has one that does."""
    assert wants_token(cluster.address) is False


def test_of_a_cluster_that_does_not_answer_nobody_knows_whether_it_wants_a_token(monkeypatch):
    monkeypatch.setattr(ray_internals, "PROBE_S", 1.0)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        assert wants_token(f"127.0.0.1:{nobody.getsockname()[1]}") is None


def test_what_ray_says_of_other_versions():
    assert other_versions(RuntimeError("Version mismatch of something else")) is None
    with pytest.raises(RuntimeError) as refused:
        check_version_info({"ray_version": "2.59.0", "python_version": "3.12.1"}, "127.0.0.1:6379")
    own = (ray.__version__, platform.python_version())
    assert other_versions(refused.value) == OtherVersions(("2.59.0", "3.12.1"), own)


def test_where_ray_keeps_its_logs_on_the_node_of_a_process(cluster):
    assert session_folder() == cluster.head_node.get_session_dir_path()
    there = ray.remote(num_cpus=0)(session_folder)
    assert ray.get(there.remote()) == session_folder()


def test_the_memory_is_that_of_the_machine_or_of_its_container():
    memory = memory_of_node()
    assert 0 < memory.used_bytes < memory.total_bytes <= psutil.virtual_memory().total


class NodeOf(TypedDict):
    NodeManagerHostname: str
    Alive: bool
    DeathReason: int


def test_a_host_is_lost_when_its_only_node_died_unexpectedly(cluster, monkeypatch):
    killed, stopped = (cluster.add_node(num_cpus=1) for _ in range(2))
    cluster.remove_node(killed, allow_graceful=False)
    cluster.remove_node(stopped, allow_graceful=True)

    def reasons() -> dict[str, int]:
        ours = (killed.node_id, stopped.node_id)
        return {
            node["NodeID"]: node["DeathReason"] for node in ray.nodes() if node["NodeID"] in ours and not node["Alive"]
        }

    wait_for(lambda: len(reasons()) == 2)
    assert lost_hosts() == []  # this machine has a living node
    unexpected, expected = reasons()[killed.node_id], reasons()[stopped.node_id]
    nodes = [
        NodeOf(NodeManagerHostname="head", Alive=True, DeathReason=0),
        NodeOf(NodeManagerHostname="killed", Alive=False, DeathReason=unexpected),
        NodeOf(NodeManagerHostname="killed", Alive=False, DeathReason=unexpected),
        NodeOf(NodeManagerHostname="back", Alive=False, DeathReason=unexpected),
        NodeOf(NodeManagerHostname="back", Alive=True, DeathReason=0),
        NodeOf(NodeManagerHostname="stopped", Alive=False, DeathReason=expected),
    ]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    assert lost_hosts() == ["killed"]
