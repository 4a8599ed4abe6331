"""The manifests, built by kustomize and held against KubeRay's own schemas, as strictly as the API server with
`fieldValidation=Strict`: defaults first, then unknown fields are refused.

The schemas are the CRD files in the folder that `KUBERAY_CRD_DIR` names.
"""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ["base", *sorted(f"overlays/{path.name}" for path in (ROOT / "k8s" / "overlays").iterdir())]
MAX_RAYJOB_NAME = 47  # the operator's limit; it adds a suffix for the RayCluster, whose limit is 53
MAX_GROUP_NAME = 50  # leaves room for the pod's suffixes
KEPT = ("type", "enum", "pattern", "required", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems")
LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


@cache
def _crd_schema(kind: str, version: str) -> dict[str, Any]:
    folder = os.environ.get("KUBERAY_CRD_DIR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("KUBERAY_CRD_DIR names no folder with KubeRay's CRDs")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for path in sorted(Path(folder).glob("*.yaml")):
        crd = yaml.load(path.read_text(), Loader=loader)  # a safe loader either way
        if crd["spec"]["names"]["kind"] == kind:
            for served in crd["spec"]["versions"]:
                if served["name"] == version:
                    schema: dict[str, Any] = served["schema"]["openAPIV3Schema"]
                    return schema
    pytest.skip(f"KUBERAY_CRD_DIR holds no CRD of {kind} {version}")


def strict(schema: dict[str, Any], *, root: bool = True) -> dict[str, Any]:
    """A CRD's structural schema as JSON Schema that refuses unknown fields.

    The root's `metadata` is an ObjectMeta, which a CRD does not spell out; anything may be in it here.
    """
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    kept = {key: schema[key] for key in KEPT if key in schema}
    if schema.get("nullable") and "type" in kept:
        kept["type"] = [kept["type"], "null"]
    if "items" in schema:
        kept["items"] = strict(schema["items"], root=False)
    if schema.get("type") == "object":
        kept["properties"] = {name: strict(part, root=False) for name, part in schema.get("properties", {}).items()}
        if root:
            kept["properties"]["metadata"] = {"type": "object"}
        values = schema.get("additionalProperties", False)
        if isinstance(values, dict):
            values = strict(values, root=False)
        kept["additionalProperties"] = True if schema.get("x-kubernetes-preserve-unknown-fields") else values
    return kept


def with_defaults(value: Any, schema: dict[str, Any]) -> Any:
    """The value as the API server sees it: absent fields that have a default, at every depth, are filled in."""
    if isinstance(value, dict):
        filled = dict(value)
        for name, part in schema.get("properties", {}).items():
            if name not in filled and "default" in part:
                filled[name] = copy.deepcopy(part["default"])
            if name in filled:
                filled[name] = with_defaults(filled[name], part)
        values = schema.get("additionalProperties")
        if isinstance(values, dict):
            unnamed = filled.keys() - schema.get("properties", {}).keys()
            filled |= {name: with_defaults(filled[name], values) for name in unnamed}
        return filled
    if isinstance(value, list) and "items" in schema:
        return [with_defaults(item, schema["items"]) for item in value]
    return value


@cache
def _built(folder: str) -> str:
    built = subprocess.run(
        ["kubectl", "kustomize", str(ROOT / "k8s" / folder)], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return built.stdout


@pytest.fixture(params=FOLDERS)
def manifests(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(_built(request.param)))


@pytest.fixture
def rayjob(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = (manifest for manifest in manifests if manifest["kind"] == "RayJob")
    return found


def _of_kind(manifests: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def _templates(rayjob: dict[str, Any]) -> Iterator[dict[str, Any]]:
    cluster = rayjob["spec"]["rayClusterSpec"]
    yield cluster["headGroupSpec"]["template"]
    yield from (group["template"] for group in cluster["workerGroupSpecs"])


def _validate(rayjob: dict[str, Any]) -> None:
    schema = _crd_schema("RayJob", "v1")
    jsonschema.validate(with_defaults(rayjob, schema), strict(schema))


class TestSchema:
    def test_it_is_a_rayjob(self, rayjob: dict[str, Any]) -> None:
        assert rayjob["apiVersion"] == "ray.io/v1"
        _validate(rayjob)

    @pytest.mark.parametrize(
        "path",
        [("spec",), ("spec", "rayClusterSpec"), ("spec", "rayClusterSpec", "headGroupSpec", "template", "spec")],
    )
    def test_an_unknown_field_is_refused(self, path: tuple[str, ...]) -> None:
        (rayjob,) = _of_kind(list(yaml.safe_load_all(_built("base"))), "RayJob")
        place = rayjob
        for name in path:
            place = place[name]
        place["shutdownAfterJobFinished"] = True
        with pytest.raises(jsonschema.ValidationError, match="shutdownAfterJobFinished"):
            _validate(rayjob)

    def test_a_wrong_type_is_refused(self) -> None:
        (rayjob,) = _of_kind(list(yaml.safe_load_all(_built("base"))), "RayJob")
        rayjob["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0
        with pytest.raises(jsonschema.ValidationError, match="0 is not of type 'string'"):
            _validate(rayjob)


class TestOperatorsRules:
    """What KubeRay's operator refuses or mends, and no schema says."""

    def test_names(self, rayjob: dict[str, Any]) -> None:
        name = rayjob["metadata"]["name"]
        assert len(name) <= MAX_RAYJOB_NAME and LABEL.fullmatch(name)
        for group in rayjob["spec"]["rayClusterSpec"]["workerGroupSpecs"]:
            assert len(group["groupName"]) <= MAX_GROUP_NAME and LABEL.fullmatch(group["groupName"])

    def test_the_ray_container_is_first_and_runs_the_image(self, rayjob: dict[str, Any]) -> None:
        containers = [template["spec"]["containers"][0] for template in _templates(rayjob)]
        assert {container["image"].partition(":")[0] for container in containers} == {"raytune-playbook"}
        assert len({container["image"] for container in containers}) == 1
        assert all(container["name"].startswith("ray-") for container in containers)

    def test_ray_version_is_the_images(self, rayjob: dict[str, Any]) -> None:
        base = re.search(r"^FROM rayproject/ray:([\d.]+)-", (ROOT / "cluster" / "Dockerfile").read_text(), re.MULTILINE)
        assert base and rayjob["spec"]["rayClusterSpec"]["rayVersion"] == base[1]

    def test_nothing_that_the_operator_injects_is_written_by_hand(self, rayjob: dict[str, Any]) -> None:
        for template in _templates(rayjob):
            for container in template["spec"]["containers"]:
                assert not {"livenessProbe", "readinessProbe", "startupProbe", "ports"} & container.keys()
                assert "/dev/shm" not in {mount["mountPath"] for mount in container["volumeMounts"]}
            assert not [volume for volume in template["spec"]["volumes"] if "emptyDir" in volume]

    def test_the_autoscaler_is_v2_where_there_is_one(self, rayjob: dict[str, Any]) -> None:
        cluster = rayjob["spec"]["rayClusterSpec"]
        if not cluster.get("enableInTreeAutoscaling"):
            assert all(group["replicas"] == group["maxReplicas"] for group in cluster["workerGroupSpecs"])
            return
        assert cluster["autoscalerOptions"]["version"] == "v2"
        assert {template["spec"]["restartPolicy"] for template in _templates(rayjob)} == {"Never"}
        # The account that the operator makes for the autoscaler needs its credentials.
        assert "serviceAccountName" not in cluster["headGroupSpec"]["template"]["spec"]


class TestRun:
    def test_it_is_the_laptops_command(self, rayjob: dict[str, Any]) -> None:
        storage = rayjob["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["volumeMounts"]
        expected = f"raytune-playbook run jobs/digits_batch_norm.py --storage {storage[0]['mountPath']}"
        assert rayjob["spec"]["entrypoint"] == expected

    def test_a_long_run_survives_and_ends(self, rayjob: dict[str, Any]) -> None:
        spec = rayjob["spec"]
        assert spec["submissionMode"] == "HTTPMode"
        assert spec["backoffLimit"] > 0 and spec["activeDeadlineSeconds"] > 0
        assert spec["shutdownAfterJobFinishes"] is True and spec["ttlSecondsAfterFinished"] > 0

    def test_a_queued_job_waits_suspended(self, rayjob: dict[str, Any]) -> None:
        is_queued = "kueue.x-k8s.io/queue-name" in rayjob["metadata"]["labels"]
        assert rayjob["spec"].get("suspend", False) == is_queued

    def test_the_head_holds_no_trial(self, rayjob: dict[str, Any]) -> None:
        assert rayjob["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"

    def test_a_worker_that_is_to_go_drains_with_the_images_script_within_its_grace_period(
        self, rayjob: dict[str, Any]
    ) -> None:
        script = "cluster/drain.sh"
        dockerfile = (ROOT / "cluster" / "Dockerfile").read_text()
        assert f"COPY --chown=1000:100 {script} {script}" in dockerfile
        (home,) = re.findall(r"^WORKDIR (.+)$", dockerfile, re.MULTILINE)
        for group in rayjob["spec"]["rayClusterSpec"]["workerGroupSpecs"]:
            pod = group["template"]["spec"]
            shell, path, seconds = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
            assert (shell, path) == ("sh", f"{home}/{script}")
            assert int(seconds) < pod["terminationGracePeriodSeconds"]

    def test_every_pod_mounts_the_claim_that_comes_along(
        self, rayjob: dict[str, Any], manifests: list[dict[str, Any]]
    ) -> None:
        (claim,) = _of_kind(manifests, "PersistentVolumeClaim")
        assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
        for template in _templates(rayjob):
            volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
            for mount in template["spec"]["containers"][0]["volumeMounts"]:
                assert volumes[mount["name"]]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


class TestSecurity:
    def test_tokens_are_on(self, rayjob: dict[str, Any]) -> None:
        assert rayjob["spec"]["rayClusterSpec"]["authOptions"]["mode"] == "token"

    def test_no_pod_is_root(self, rayjob: dict[str, Any]) -> None:
        for template in _templates(rayjob):
            pod = template["spec"]["securityContext"]
            assert pod["runAsNonRoot"] is True and pod["runAsUser"] == 1000 and pod["fsGroup"]
            for container in template["spec"]["containers"]:
                assert container["securityContext"]["allowPrivilegeEscalation"] is False
                assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}

    def test_the_account_has_no_credentials(self, manifests: list[dict[str, Any]], rayjob: dict[str, Any]) -> None:
        (account,) = _of_kind(manifests, "ServiceAccount")
        assert account["automountServiceAccountToken"] is False
        used = {template["spec"].get("serviceAccountName") for template in _templates(rayjob)}
        assert used - {None} == {account["metadata"]["name"]}

    def test_the_policy_covers_every_pod(self, manifests: list[dict[str, Any]], rayjob: dict[str, Any]) -> None:
        policy = _of_kind(manifests, "NetworkPolicy")[0]["spec"]
        assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
        selected = policy["podSelector"]["matchLabels"].items()
        assert all(selected <= template["metadata"]["labels"].items() for template in _templates(rayjob))

    def test_the_policy_lets_in_pods_and_operator_and_out_to_pods_and_dns(
        self, manifests: list[dict[str, Any]]
    ) -> None:
        policy = _of_kind(manifests, "NetworkPolicy")[0]["spec"]
        among_themselves = [{"podSelector": policy["podSelector"]}]
        pods_in, operator_in = policy["ingress"]
        assert pods_in == {"from": among_themselves}
        assert operator_in["ports"] == [{"protocol": "TCP", "port": 8265}]
        pods_out, dns_out = policy["egress"]
        assert pods_out == {"to": among_themselves}
        assert {(port["protocol"], port["port"]) for port in dns_out["ports"]} == {("UDP", 53), ("TCP", 53)}
