"""The launcher's YAML against Ray's own schema and preparation, and the image beside it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = ROOT / "cluster" / "on-premises.yaml"


@pytest.fixture
def config() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(LAUNCHER.read_text())
    return loaded


def _commands(config: dict[str, Any], *keys: str) -> list[str]:
    return [command for key in keys for command in config[key]]


def test_ray_prepares_and_accepts_it(config: dict[str, Any]) -> None:
    prepared = prepare_config(config)
    validate_config(prepared)
    workers = prepared["available_node_types"][prepared["head_node_type"]]
    assert workers["min_workers"] == workers["max_workers"] == len(config["provider"]["worker_ips"])


def test_a_misspelt_key_would_be_refused(config: dict[str, Any]) -> None:
    config["setup_command"] = config.pop("setup_commands")
    with pytest.raises(jsonschema.ValidationError, match="setup_command"):
        validate_config(prepare_config(config))


def test_every_placeholder_is_named_in_the_header(config: dict[str, Any]) -> None:
    header = "".join(line for line in LAUNCHER.read_text().splitlines(keepends=True) if line.startswith("#"))
    written = [config["provider"]["head_ip"], *config["provider"]["worker_ips"], config["auth"]["ssh_user"]]
    written.append(Path(config["auth"]["ssh_private_key"]).name)
    assert [name for name in written if not re.search(rf"\b{name}\b", header)] == []


def test_what_is_copied_is_there_and_enough_to_install(config: dict[str, Any]) -> None:
    copied = {local for local in config["file_mounts"].values() if not local.startswith("~")}
    assert copied >= {"pyproject.toml", "cluster/constraints.txt", "cluster/drain.sh", "raytune_playbook"}
    assert [local for local in copied if not (ROOT / local).exists()] == []


def test_every_node_installs_with_the_constraints(config: dict[str, Any]) -> None:
    installs = [command for command in config["setup_commands"] if "pip install" in command]
    assert installs and all("-c ~/raytune-playbook/cluster/constraints.txt" in command for command in installs)


def test_token_authentication_is_on_everywhere(config: dict[str, Any]) -> None:
    starts = [c for c in _commands(config, "head_start_ray_commands", "worker_start_ray_commands") if "ray start" in c]
    assert len(starts) == 2
    assert all("export RAY_AUTH_MODE=token" in command for command in starts)
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


def test_the_commands_are_bash(config: dict[str, Any]) -> None:
    keys = ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands")
    for command in _commands(config, *keys):
        checked = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, f"{command}: {checked.stderr}"


def test_image_and_constraints_name_one_ray() -> None:
    dockerfile = (ROOT / "cluster" / "Dockerfile").read_text()
    image = re.search(r"^FROM rayproject/ray:([\d.]+)-py(\d)(\d+)$", dockerfile, re.MULTILINE)
    pinned = re.search(r"^ray==([\d.]+)$", (ROOT / "cluster" / "constraints.txt").read_text(), re.MULTILINE)
    assert image and pinned
    assert image[1] == pinned[1] == ray.__version__
    assert f"python{image[2]}.{image[3]}" in LAUNCHER.read_text()
    assert "pip install --no-cache-dir -c cluster/constraints.txt ." in dockerfile


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
