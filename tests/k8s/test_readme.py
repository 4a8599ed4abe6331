"""What the folder's README tells to type fits what is there."""

from __future__ import annotations

import re
import shlex

import pytest

from raytune_playbook.cli.group import commands
from tests.k8s.kustomize import CLUSTERS, JOBS, K8S, ONCE, ROOT, built, needs_kubectl, of_kind, the

README = (K8S / "README.md").read_text()
BLOCKS = re.findall(r"```\n(.*?)```", README, flags=re.DOTALL)


def test_from_an_empty_cluster_to_a_page_in_five_lines_after_one_edit() -> None:
    assert "these are one edit and five lines" in README
    assert len(BLOCKS[0].splitlines()) == 5


def test_a_port_is_forwarded_once_a_pod_runs() -> None:
    """`kubectl port-forward` gives up at once where a pod is there but still pulls its image."""
    lines = [line for block in BLOCKS for line in re.split(r"\n| && ", block)]
    forwarding = [number for number, line in enumerate(lines) if line.startswith("kubectl port-forward ")]
    assert len(forwarding) == 2
    assert all(lines[number - 1].startswith("kubectl wait --for=condition=") for number in forwarding)


def test_every_folder_is_listed_and_every_form_named() -> None:
    listed = re.findall(r"^\| `([\w-]+)/` \|", README, flags=re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in K8S.iterdir() if path.is_dir())
    for folder in [*JOBS, *CLUSTERS[1:]]:
        assert f"`{folder.rpartition('/')[2]}`" in README


def test_every_folder_that_is_applied_is_one_to_apply() -> None:
    applied = set(re.findall(r"-k k8s/(\S+?)[`\s]", README))
    assert {"storage", "pages"} <= applied <= {*JOBS, *CLUSTERS, *ONCE}


def test_every_option_of_manifest_is_described() -> None:
    described = set(re.findall(r"`(--[a-z0-9-]+)", README)) - {"--exit-0-if-hopeless", "--retry-failed"}
    (own,) = [command for name, command in commands.commands.items() if name == "manifest"]
    assert described == {option for parameter in own.params for option in parameter.opts if option.startswith("--")}


@pytest.mark.parametrize(
    "line", [line for block in BLOCKS for line in block.splitlines() if "raytune-playbook " in line]
)
def test_every_command_of_ours_is_one(line: str) -> None:
    for text in re.findall(r"(?:^|-- )raytune-playbook [^|]+", line):
        _, *arguments = shlex.split(text.removeprefix("-- "))
        assert arguments[0] in commands.commands
        known = {option for each in commands.commands[arguments[0]].params for option in each.opts}
        assert {each for each in arguments if each.startswith("--")} <= known
        assert all((ROOT / each).is_file() for each in arguments if each.endswith(".py"))


@needs_kubectl
def test_objects_are_called_as_the_commands_say() -> None:
    pages, cluster = the(built("pages"), "Deployment"), the(built("clusters/cpu"), "RayCluster")["metadata"]["name"]
    command = pages["spec"]["template"]["spec"]["containers"][0]["command"]
    port = command[command.index("--port") + 1]
    assert f"kubectl port-forward deployment/{pages['metadata']['name']} {port}\n" in README
    assert f"kubectl wait --for=condition=Available --timeout=30m deployment/{pages['metadata']['name']} && " in README
    assert f"kubectl wait --for=condition=HeadPodReady --timeout=30m raycluster/{cluster}\n" in README
    assert f"kubectl port-forward service/{cluster}-head-svc 8265\n" in README
    assert f"kubectl get secret {cluster} -o " in README
    assert f"kubectl get rayjob {the(built('overlays/cpu'), 'RayJob')['metadata']['name']} -w" in README
    created = set(re.findall(r"kubectl create secret generic (\S+)", README))
    assert created == {
        the(built("clusters/gcs-fault-tolerance"), "Deployment")["spec"]["template"]["spec"]["containers"][0]["env"][0][
            "valueFrom"
        ]["secretKeyRef"]["name"],
        the(built("overlays/object-store"), "RayJob")["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"][
            "containers"
        ][0]["envFrom"][0]["secretRef"]["name"],
    }


@needs_kubectl
def test_every_kind_of_object_is_explained() -> None:
    kinds = {each["kind"] for folder in [*JOBS, *CLUSTERS, *ONCE] for each in built(folder)} - {"Service"}
    for kind in kinds:
        assert f"| `{kind}`" in README or f"`, `{kind}` |" in README, kind
    assert of_kind(built("clusters/gcs-fault-tolerance"), "Service")  # Redis', which its Deployment's line is about
