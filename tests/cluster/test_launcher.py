"""The launcher's YAML against Ray's own schema and preparation, and the image beside it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parents[2]
ON_PREMISES, AWS, GCP = LAUNCHERS = [ROOT / "cluster" / f"{name}.yaml" for name in ("on-premises", "aws", "gcp")]

Config = dict[str, Any]
"""A launcher's YAML, whatever stands in it."""


def loaded(launcher: Path) -> Config:
    config: Config = yaml.safe_load(launcher.read_text())
    return config


@pytest.fixture(params=LAUNCHERS, ids=lambda launcher: launcher.stem)
def launcher(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def config(launcher: Path) -> Config:
    return loaded(launcher)


def _commands(config: Config, *keys: str) -> list[str]:
    return [command for key in keys for command in config[key]]


def _texts(value: Config | list[Any] | str | int) -> list[str]:
    match value:
        case dict():
            return [text for each in value.values() for text in _texts(each)]
        case list():
            return [text for each in value for text in _texts(each)]
        case str():
            return [value]
    return []


def test_ray_prepares_and_accepts_it(config: Config) -> None:
    validate_config(prepare_config(config))


def test_the_machines_that_are_there_are_all_taken() -> None:
    config = loaded(ON_PREMISES)
    prepared = prepare_config(config)
    workers = prepared["available_node_types"][prepared["head_node_type"]]
    assert workers["min_workers"] == workers["max_workers"] == len(config["provider"]["worker_ips"])


def test_workers_are_spot_machines_and_the_head_is_none() -> None:
    """The head holds the driver, and neither trials nor the pipeline."""
    for path, asks_for_spot in ((AWS, {"MarketType": "spot"}), (GCP, {"provisioningModel": "SPOT"})):
        config = loaded(path)
        types = config["available_node_types"]
        assert asks_for_spot.items() <= _of_spot(types["worker"]).items()
        assert (_of_spot(types["head"]), types["head"]["resources"]) == ({}, {"CPU": 0})
        assert any("--num-cpus=0" in command for command in config["head_start_ray_commands"])


def _of_spot(node_type: Config) -> Config:
    found: Config = {}
    for key in ("InstanceMarketOptions", "scheduling"):
        found |= node_type["node_config"].get(key, {})
    return found


def test_the_disk_is_the_images_own_and_the_header_tells_how_to_look() -> None:
    """Of another name it would be a second, empty disk beside a root of 8 GB. Debian's images have this one."""
    for node_type in loaded(AWS)["available_node_types"].values():
        (disk,) = node_type["node_config"]["BlockDeviceMappings"]
        assert disk["DeviceName"] == "/dev/xvda"
    assert "--query 'Images[].RootDeviceName'" in AWS.read_text()


def test_a_misspelt_key_would_be_refused(config: Config) -> None:
    config["setup_command"] = config.pop("setup_commands")
    with pytest.raises(jsonschema.ValidationError, match="setup_command"):
        validate_config(prepare_config(config))


def test_every_placeholder_is_named_in_the_header(launcher: Path, config: Config) -> None:
    header = "".join(line for line in launcher.read_text().splitlines(keepends=True) if line.startswith("#"))
    commands = re.compile(r"_commands$|file_mounts|head_node_type")
    texts = [text for key, value in config.items() if not commands.search(key) for text in _texts(value)]
    written = {name for text in texts for name in re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*\b", text)}
    written -= {"PERSISTENT", "SPOT", "DELETE"}  # Google's own words
    assert written
    assert [name for name in sorted(written) if not re.search(rf"\b{name}\b", header)] == []


def test_what_is_copied_is_there_and_enough_to_install(config: Config) -> None:
    copied = {local for local in config["file_mounts"].values() if not local.startswith("~")}
    assert copied >= {"pyproject.toml", "cluster/constraints.txt", "cluster/drain.sh", "raytune_playbook"}
    assert [local for local in copied if not (ROOT / local).exists()] == []


def test_every_node_installs_with_the_constraints(config: Config) -> None:
    installs = [command for command in config["setup_commands"] if "pip install" in command]
    assert installs and all("-c ~/raytune-playbook/cluster/constraints.txt" in command for command in installs)


def test_token_authentication_is_on_everywhere(config: Config) -> None:
    starts = [c for c in _commands(config, "head_start_ray_commands", "worker_start_ray_commands") if "ray start" in c]
    assert len(starts) == 2
    assert all("export RAY_AUTH_MODE=token" in command for command in starts)
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert any("--dashboard-host=127.0.0.1" in command for command in starts)


def test_the_commands_are_bash(config: Config) -> None:
    keys = ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands")
    for command in _commands(config, *keys):
        checked = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, f"{command}: {checked.stderr}"


class MetadataServer(ThreadingHTTPServer):
    """Gives notice from the third question on."""

    num_asked = 0

    def is_taken(self) -> bool:
        self.num_asked += 1
        return self.num_asked > 2


class Metadata(BaseHTTPRequestHandler):
    """A cloud's metadata, as far as it tells of the machine's end; who does not ask properly is refused."""

    def do_PUT(self) -> None:
        asks = self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"] == "60"
        self._answer(200 if asks else 403, "the token")

    def do_GET(self) -> None:
        match self.path, self.headers["X-aws-ec2-metadata-token"], self.headers["Metadata-Flavor"]:
            case "/latest/meta-data/spot/instance-action", "the token", None:
                self._answer(200 if self._is_taken() else 404, '{"action": "terminate"}')
            case "/computeMetadata/v1/instance/preempted", None, "Google":
                self._answer(200, "TRUE" if self._is_taken() else "FALSE")
            case _:
                self._answer(403, "")

    def _is_taken(self) -> bool:
        assert isinstance(self.server, MetadataServer)
        return self.server.is_taken()

    def _answer(self, code: int, text: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(("cloud", "seconds"), [("aws", "110"), ("gcp", "25")])
def test_a_spot_machine_is_drained_when_its_cloud_gives_notice(tmp_path: Path, cloud: str, seconds: str) -> None:
    shutil.copy(ROOT / "cluster" / "spot.sh", tmp_path)
    drain = tmp_path / "drain.sh"
    drain.write_text('#!/bin/sh\necho "$@" > "$(dirname "$0")/drained"\n')
    drain.chmod(0o755)
    with MetadataServer(("127.0.0.1", 0), Metadata) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        at = {"RAYTUNE_METADATA_URL": f"http://127.0.0.1:{server.server_port}", "RAYTUNE_METADATA_EVERY_S": "0.1"}
        command = [str(tmp_path / "spot.sh"), cloud]
        done = subprocess.run(command, env=os.environ | at, capture_output=True, text=True, timeout=60, check=False)
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "drained").read_text().split() == [seconds]
    assert server.num_asked == 3


def test_another_cloud_is_refused() -> None:
    command = [str(ROOT / "cluster" / "spot.sh"), "azure"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "must be named, aws or gcp, but got 'azure'" in done.stderr


def test_a_machine_without_curl_is_told_so(tmp_path: Path) -> None:
    command = [str(ROOT / "cluster" / "spot.sh"), "aws"]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "curl is needed" in done.stderr


@pytest.mark.parametrize("launcher", [AWS, GCP], ids=lambda launcher: launcher.stem)
def test_spot_workers_watch_for_the_notice(launcher: Path) -> None:
    config = loaded(launcher)
    watching = [each for each in config["worker_start_ray_commands"] if "spot.sh" in each]
    assert len(watching) == 1
    assert f"nohup ~/raytune-playbook/cluster/spot.sh {launcher.stem} >" in watching[0]
    assert config["file_mounts"]["~/raytune-playbook/cluster/spot.sh"] == "cluster/spot.sh"


def test_image_and_constraints_name_one_ray() -> None:
    dockerfile = (ROOT / "cluster" / "Dockerfile").read_text()
    image = re.search(r"^FROM rayproject/ray:([\d.]+)-py(\d)(\d+)$", dockerfile, re.MULTILINE)
    pinned = re.search(r"^ray==([\d.]+)$", (ROOT / "cluster" / "constraints.txt").read_text(), re.MULTILINE)
    assert image and pinned
    assert image[1] == pinned[1] == ray.__version__
    assert all(f"python{image[2]}.{image[3]}" in launcher.read_text() for launcher in LAUNCHERS)
    assert "pip install --no-cache-dir -c cluster/constraints.txt ." in dockerfile


def test_every_requirement_has_its_version_in_the_constraints() -> None:
    """Also those of the extras, for CI installs them; `raytune-playbook doctor` compares the others between nodes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for lines in project["optional-dependencies"].values() for line in lines)]
    required = {canonicalize_name(wanted.name): wanted for wanted in map(Requirement, lines)}
    own = required.pop(canonicalize_name(project["name"]))
    assert own.extras < project["optional-dependencies"].keys()
    constraints = (ROOT / "cluster" / "constraints.txt").read_text().splitlines()
    pinned = [line.split("==") for line in constraints if line and not line.startswith("#")]
    versions = {canonicalize_name(name): version for name, version in pinned}
    assert required.keys() - versions.keys() == set()
    assert [str(each) for name, each in required.items() if not each.specifier.contains(versions[name])] == []


def test_the_drain_script_is_plain_shell_and_says_where_there_is_nothing_to_drain() -> None:
    script = ROOT / "cluster" / "drain.sh"
    command = ["sh", "-n", str(script)]
    assert subprocess.run(command, check=False).returncode == 0
    # In a network namespace of its own a process sees no raylet of its machine, whatever runs beside it.
    alone = subprocess.run(["unshare", "--net", str(script)], capture_output=True, text=True, check=False)
    if "unshare failed" in alone.stderr:
        pytest.skip("a network namespace of its own needs root")
    assert (alone.returncode, alone.stdout) == (2, "")
    assert "but no raylet runs here; start Ray first." in alone.stderr
