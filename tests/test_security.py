"""What keeps a round's records and users' secrets safe, over the whole package."""

from __future__ import annotations

import ast
import contextlib
import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import grpc
import psutil
import pytest

import raytune_playbook
from raytune_playbook import Budget, Float, Objective, Round, run
from raytune_playbook.cli import main
from raytune_playbook.cli.group import commands
from tests.engine.jobs.test_provenance import JOB, git
from tests.regression import Regression
from tests.waiting import wait_for

PACKAGE = Path(raytune_playbook.__file__).parent

SECRET = "pl4nted-s3cret"

# ---------------------------------------------------------------------- what is read runs no code

RUNS_CODE = {
    *("pickle", "cPickle", "_pickle", "cloudpickle", "ray.cloudpickle", "dill", "joblib", "shelve", "marshal"),
    *("jsonpickle", "pandas.read_pickle", "numpy.load", "np.load", "torch.load", "torch.jit.load", "runpy"),
    *("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "eval", "exec", "compile", "__import__"),
    *("importlib.import_module", "importlib.util.spec_from_file_location", "os.system", "os.popen"),
}

NO_PICKLE = ("allow_pickle", False)

SAFE_WHERE = {"torch.load": ("weights_only", True), "np.load": NO_PICKLE, "numpy.load": NO_PICKLE}

ALLOWED = {
    ("__init__.py", "importlib.import_module"): "public names, from a table of this package's own modules",
    ("engine/jobs/job_file.py", "importlib.util.spec_from_file_location"): "a job file is code that its user runs",
    ("engine/jobs/job_file.py", "importlib.import_module"): "the package that a job file is part of",
    ("engine/jobs/to_workers.py", "ray.cloudpickle"): "a workload on its way to workers, through Ray and no storage",
    ("engine/gang/round_context.py", "ray.cloudpickle"): "the same workload, as it arrives",
    ("data/decode.py", "ray.cloudpickle"): "likewise, where it preprocesses examples",
    ("procedures/new/look.py", "importlib.import_module"): "the dataset that `new --data` names is the user's code",
    ("procedures/new/new.py", "importlib.import_module"): "likewise",
}
"""By module and name, why what it runs is nobody else's than the user's."""


def code_runners(source: str) -> set[str]:
    """What of `RUNS_CODE` a module imports or calls, but for calls that say that they run none."""
    found = set[str]()
    safe = set[int]()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                found |= {each.name for each in node.names} & RUNS_CODE
            case ast.ImportFrom(module=str(module)):
                found |= ({module} | {f"{module}.{each.name}" for each in node.names}) & RUNS_CODE
            case ast.Call():
                name = ast.unparse(node.func)
                option, value = SAFE_WHERE.get(name, ("", None))
                if any(each.arg == option and ast.unparse(each.value) == str(value) for each in node.keywords):
                    safe.add(id(node.func))
                if any(each.arg == "allow_pickle" and ast.unparse(each.value) != "False" for each in node.keywords):
                    found.add("allow_pickle")
            case ast.Attribute() | ast.Name() if (name := ast.unparse(node)) in RUNS_CODE and id(node) not in safe:
                found.add(name)
    return found - {"cloudpickle"} if "ray.cloudpickle" in found else found


def test_records_and_checkpoints_are_read_without_running_what_they_hold():
    found = {
        (str(path.relative_to(PACKAGE)), name)
        for path in PACKAGE.rglob("*.py")
        for name in code_runners(path.read_text())
    }
    assert found - ALLOWED.keys() == set()
    assert ALLOWED.keys() - found == set()  # no exception stays that is needed no more


@pytest.mark.parametrize(
    "line",
    [
        *("import pickle", "from pickle import loads", "import ray.cloudpickle as p", "from ray import cloudpickle"),
        *("torch.load(file)", "torch.load(file, weights_only=False)", "torch.load(file, weights_only=safe)"),
        *("np.load(file)", "np.load(file, allow_pickle=True)", "npy.read_array(file, allow_pickle=True)"),
        *("load = torch.load", "yaml.load(text, Loader)", "from joblib import load", "eval(text)", "exec(text)"),
    ],
)
def test_what_runs_code_is_recognized(line):
    assert code_runners(line)


@pytest.mark.parametrize(
    "line",
    [
        *("torch.load(file, weights_only=True)", "np.load(file, allow_pickle=False)", "yaml.safe_load(text)"),
        *("json.loads(text)", "model.eval()", "re.compile(text)", "npy.read_array(file, allow_pickle=False)"),
    ],
)
def test_what_runs_none_is_not(line):
    assert not code_runners(line)


# ---------------------------------------------------------------------- each command

GIVEN = {"num_trials": "9", "max_train_steps": "9", "trial": "0", "text": "changed"}
"""What commands want beside a job, a round and a storage."""


def arguments_of(command: click.Command, given: dict[str, str]) -> list[str]:
    """A command line for it, with what was given for its parameters and what it cannot do without."""
    line = [command.name or ""]
    for parameter in command.params:
        value = given.get(parameter.name or "", GIVEN.get(parameter.name or "") if parameter.required else None)
        if value is not None:
            line += [value] if isinstance(parameter, click.Argument) else [parameter.opts[0], value]
    return [*line, "--split", "test"] if command.name == "predict" else line


def having(parameter: str) -> list[str]:
    return [name for name, each in sorted(commands.commands.items()) if parameter in {p.name for p in each.params}]


@pytest.mark.parametrize("name", having("storage"))
def test_every_command_refuses_a_storage_with_credentials_and_does_not_show_them(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")
    (tmp_path / "line.py").write_text(JOB)
    given = {"job": "line.py", "round": "line", "storage": f"s3://id:{SECRET}@bucket/rounds"}
    assert main(arguments_of(commands.commands[name], given)) == 2
    printed = "".join(capsys.readouterr())
    assert SECRET not in printed
    assert "AWS_SECRET_ACCESS_KEY" in printed
    assert "Traceback" not in printed
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["line.py"]


@pytest.mark.parametrize("round_", ["../outside", "..", "/etc", "a/../../outside"])
@pytest.mark.parametrize("name", having("round"))
def test_every_command_refuses_a_round_that_is_not_in_the_storage(name, round_, tmp_path, capsys):
    (tmp_path / "rounds").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "round.json").write_text("{}")
    given = {"round": round_, "storage": str(tmp_path / "rounds")}
    assert main(arguments_of(commands.commands[name], given)) == 2
    said = capsys.readouterr().err
    assert "A round's name is that of its folder" in said
    assert said.count("\n") == 1
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        *("outside", "outside/round.json", "rounds")
    ]


# ---------------------------------------------------------------------- a run


def test_a_run_leaves_none_of_the_secrets_around_it_in_its_storage(gangs, tmp_path, monkeypatch, quiet):
    """In variables, in files that git knows and has not got, and on the command line."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in (".env", "deploy.pem", "notes.txt"):
        (checkout / name).write_text("as committed\n")
    git(checkout, "init", "-q")
    git(checkout, "add", "-Af")
    git(checkout, "commit", "-qm", "first")
    for name in (".env", "deploy.pem", "untracked.txt", "id_rsa"):
        (checkout / name).write_text(f"KEY={SECRET}\n")
    (checkout / "notes.txt").write_text("changed\n")
    monkeypatch.chdir(checkout)
    for variable in ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "MY_PASSWORD"):
        monkeypatch.setenv(variable, SECRET)
    monkeypatch.setattr("sys.argv", ["my.py", "--api-key", SECRET, f"--data=s3://id:{SECRET}@bucket/data"])
    round_ = Round(
        name="told",
        goal="Does it keep secrets?",
        workload=Regression(),
        nuisance={"learning_rate": Float(0.01, 0.1, scale="log")},
        objective=Objective(metric="loss"),
        budget=Budget(num_trials=2, max_train_steps=4, evaluation_interval_steps=2),
        resources=gangs.resources,
    )
    result = run(round_, storage=str(tmp_path / "rounds"), gangs=gangs, console=quiet)
    assert [trial["outcome"] for trial in result.trials.to_pylist()] == ["completed"] * 2
    files = [path for path in (tmp_path / "rounds").rglob("*") if path.is_file()]
    assert {"round.json", "uncommitted.diff", "index.html", "driver.log"} <= {path.name for path in files}
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    difference = (tmp_path / "rounds" / "told" / "uncommitted.diff").read_text()
    assert difference.startswith(
        "# left out, for it looks like a secret: .env\n# left out, for it looks like a secret: deploy.pem\n"
    )
    assert "+changed" in difference
    assert SECRET not in quiet.file.getvalue()


# ---------------------------------------------------------------------- what listens

OWN_CLUSTER = """
import signal
from raytune_playbook.engine.session import connect
assert connect(None)
signal.pause()
"""

LISTENERS = {"gcs_server", "raylet", "ray::DashboardAgent", "ray::RuntimeEnvAgent", "ray::IDLE"}
"""Processes of Ray's that listen, some on several sockets: an agent on fewer where another cluster has its port."""

PAGES = ("/api/version", "/api/jobs/", "/metrics", "/api/local_raylet_healthz", "/")
ALIVE = "/grpc.health.v1.Health/Check"
CALLS = (
    *("/ray.rpc.NodeInfoGcsService/CheckAlive", "/ray.rpc.NodeManagerService/GetNodeStats"),
    *("/ray.rpc.ObjectManagerService/Pull", "/ray.rpc.CoreWorkerService/GetCoreWorkerStats"),
    *("/ray.rpc.ReporterService/HealthCheck", ALIVE),
)
"""One call of each server's, for a server answers those of others as if there were none; they change nothing."""

TOLD_TO_ALL = {ALIVE, "/api/local_raylet_healthz"}
"""Whether a process lives; beside the dashboard's bare page and Ray's metrics, which answer any path."""


@contextlib.contextmanager
def own_cluster(home: Path) -> Iterator[psutil.Process]:
    """The process of a run that has started a cluster on this machine, as it does where the user has set nothing."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    started = subprocess.Popen([sys.executable, "-c", OWN_CLUSTER], env=environment | {"HOME": str(home)})
    process = psutil.Process(started.pid)
    try:
        yield process
    finally:
        doomed = [process, *process.children(recursive=True)]
        for each in doomed:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        started.wait()
        psutil.wait_procs(doomed, timeout=20)


def listeners(process: psutil.Process) -> list[tuple[str, str, int]]:
    """Name, address and port of every socket on which it and those that it has started listen."""
    found = list[tuple[str, str, int]]()
    for each in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            sockets = [one for one in each.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
            found += [(each.name(), one.laddr.ip, one.laddr.port) for one in sockets]
    return found


def answers(host: str, port: int, token: str | None = None) -> dict[str, str]:
    """What a server says to each page or call, in a word: 'told', 'metrics', 'refused' or 'silent'."""
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    found = {path: word for path in PAGES if (word := _page(host, port, path, headers))}
    if found:
        return found
    with grpc.insecure_channel(f"{host}:{port}") as channel:
        words = {call: _call(channel, call, headers) for call in CALLS}
    return {call: word for call, word in words.items() if word}


def _page(host: str, port: int, path: str, headers: dict[str, str]) -> str | None:
    with contextlib.closing(http.client.HTTPConnection(host, port, timeout=30)) as connection:
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
        except (http.client.HTTPException, ConnectionError):  # it speaks gRPC
            return None
        if answer.status == 401:
            return "refused"
        return "metrics" if answer.read(6) == b"# HELP" else "told"


def _call(channel: grpc.Channel, name: str, headers: dict[str, str]) -> str | None:
    try:
        channel.unary_unary(name)(b"", timeout=30, metadata=tuple(headers.items()))
    except grpc.RpcError as error:
        words = {grpc.StatusCode.UNAUTHENTICATED: "refused", grpc.StatusCode.UNAVAILABLE: "silent"}
        return None if error.code() == grpc.StatusCode.UNIMPLEMENTED else words.get(error.code(), "told")
    return "told"


@pytest.mark.cluster
def test_nothing_of_a_runs_own_cluster_lets_anybody_in_without_the_token(tmp_path):
    """Every socket that listens is asked, and tells no more than the README says that it tells to all."""
    with own_cluster(tmp_path) as process:
        wait_for(lambda: all_listen(process), every_s=0.2)
        found = listeners(process)
        said = {(name, ip, port): answers(_reached_at(ip), port) for name, ip, port in found}
        (dashboard,) = [port for (_, ip, port), each in said.items() if ip == "127.0.0.1" and each.get("/") == "told"]
        token = (tmp_path / ".ray" / "auth_token").read_text()
        let_in = answers("127.0.0.1", dashboard, token)
        gone = said.keys() - set(listeners(process))  # an idle worker may end
    assert let_in["/api/version"] == let_in["/api/jobs/"] == "told"  # so it was the token that was missing
    for listener, words in said.items():
        if listener in gone or set(words.values()) == {"metrics"}:
            continue
        told = {what for what, word in words.items() if word != "refused"}
        pages = {"/"} if listener[1:] == ("127.0.0.1", dashboard) else set()
        assert told <= TOLD_TO_ALL | pages, (listener, words)
        assert "refused" in words.values(), (listener, words)


def all_listen(process: psutil.Process) -> bool:
    assert process.status() != psutil.STATUS_ZOMBIE
    return {name for name, _, _ in listeners(process)} >= LISTENERS


def _reached_at(ip: str) -> str:
    return "127.0.0.1" if ip in ("0.0.0.0", "::") else ip
