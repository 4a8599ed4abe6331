"""`raytune-playbook manifest`: YAML on stdout and nothing else, remarks on stderr, bad input in one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from raytune_playbook.cli import main
from raytune_playbook.submission.kubernetes.manifest import job_name

JOB = """
from raytune_playbook import Budget, Categorical, Resources, Round
from raytune_playbook.workloads.digits import DigitsResNet

round = Round(
    name="{name}", goal="Which?", workload=DigitsResNet(), scientific={{"batch_norm": Categorical(["device", "sync"])}},
    budget=Budget(num_trials=4, max_train_steps=10, evaluation_interval_steps=5), resources=Resources({resources})
)
"""


def job(folder: Path, resources: str = "", name: str = "my_round") -> str:
    file = folder / "my_job.py"
    file.write_text(JOB.format(name=name, resources=resources))
    return str(file)


def test_it_prints_what_kubectl_applies_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "raytune_playbook", "manifest", job(tmp_path), "--image", "registry/image:1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    policy, config_map, rayjob = yaml.safe_load_all(done.stdout)
    assert [each["kind"] for each in (policy, config_map, rayjob)] == ["NetworkPolicy", "ConfigMap", "RayJob"]
    assert config_map["data"] == {"my_job.py": (tmp_path / "my_job.py").read_text()}
    assert rayjob["metadata"]["name"] == "my-round"
    assert rayjob["spec"]["entrypoint"] == (
        "raytune-playbook run /home/ray/job/my_job.py --storage /mnt/storage --exit-0-if-hopeless"
    )
    assert done.stdout.count("image: registry/image:1\n") == 2


def test_every_option_is_heard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = "--overlay gpu --overlay autoscaling --in-image --storage s3://bucket/rounds --pods 3"
    sizes = "--pod-cpus 16 --pod-memory-gib 64 --pod-gpus 4"
    file = job(tmp_path, "gpus_per_worker=2, cpus_per_worker=5", name="X")
    assert main(["manifest", file, *options.split(), *sizes.split()]) == 0
    printed = capsys.readouterr()
    *_, rayjob = yaml.safe_load_all(printed.out)
    (group,) = rayjob["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    run = group["template"]["spec"]["containers"][0]["image"]
    assert printed.err.splitlines() == [
        f"The pods run {run}, which no registry has but your own; name what you pushed with --image.",
        f"Round X is called {job_name('X')} on Kubernetes.",
    ]
    assert limits == {"cpu": "16", "memory": "64Gi", "nvidia.com/gpu": "4"}
    assert (group["minReplicas"], group["maxReplicas"]) == (1, 3)
    assert rayjob["spec"]["entrypoint"].startswith(f"raytune-playbook run {file} --storage s3://bucket/rounds ")


@pytest.mark.parametrize(
    ("resources", "options", "sentence"),
    [
        ("gpus_per_worker=1", "", "has no GPU, but each worker needs 1; add --overlay gpu"),
        ("cpus_per_worker=8", "", "has 4 CPU(s), but each worker needs 8"),
        ("num_workers=40", "--overlay autoscaling", "but there are 8 at most"),
        ("", "--overlay nothing", "--overlay is one of"),
        ("", "--storage rounds", "--storage: pods reach /mnt/storage"),
        ("", "--image=", "--image: the name of an image is needed"),
        ("", "--pods 0", "'--pods': 0 is not in the range"),
        ("", "--pods 99999999999", "--pods: 1,000 is the most, but got 99,999,999,999"),
        ("num_gangs=10**9", "", "Resources.num_gangs: 1,024 is the most"),
        ("", "--storage foo://x", "URI that pyarrow knows is needed"),
        ("num_wokers=2", "", "Resources has no field 'num_wokers'"),
    ],
)
def test_bad_input_is_refused_in_one_sentence_and_nothing_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], resources: str, options: str, sentence: str
) -> None:
    assert main(["manifest", job(tmp_path, resources), *options.split()]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert sentence in printed.err


def test_a_job_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["manifest", str(tmp_path / "none.py")]) == 2
    assert "is not one; name the file" in capsys.readouterr().err


def test_every_path_of_the_config_map_is_one_that_kubernetes_takes(tmp_path: Path, capsys) -> None:
    """No name begins with ``..``, which leads to a folder above; of a long path only the end names a file there."""
    package = tmp_path / "a" / ("b" * 97) / ("c" * 98)
    package.mkdir(parents=True)
    for folder in (package.parent.parent, package.parent, package):
        (folder / "__init__.py").touch()
    for length in range(90, 100):
        (package / f"{'d' * length}.py").touch()
    assert main(["manifest", job(tmp_path), "--image", "registry/image:1"]) == 0
    config_map, rayjob = list(yaml.safe_load_all(capsys.readouterr().out))[1:]
    names = [*config_map["data"]]
    assert len(names) == 14
    assert [name for name in names if name.startswith("..") or "/" in name or len(name) > 253] == []
    (code,) = (each for each in _volumes(rayjob) if each["name"] == "code")
    paths = [item["path"] for item in code["configMap"]["items"]]
    assert [path for path in paths if path.startswith(("/", "..")) or ".." in path.split("/")] == []
    odd = tmp_path / "..job.py"
    odd.write_text(Path(job(tmp_path)).read_text())
    assert main(["manifest", str(odd), "--image", "registry/image:1"]) == 2
    assert "may not begin with '..', but got '..job.py'" in capsys.readouterr().err


def _volumes(rayjob: dict[str, object]) -> list[dict[str, dict[str, list[dict[str, str]]]]]:
    return rayjob["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["volumes"]
