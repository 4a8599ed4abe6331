"""The manifests, built by kustomize and held against the schemas of all their kinds (see `schemas`)."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from tests.k8s.kustomize import CLUSTERS, JOBS, K8S, ONCE, PAGES, ROOT, built, needs_kubectl, of_kind, the
from tests.k8s.schemas import validate

MAX_RAYJOB_NAME = 47  # the operator's limit; it adds a suffix for the RayCluster, whose limit is 53
MAX_RAYCLUSTER_NAME = 53
MAX_GROUP_NAME = 50  # leaves room for the pod's suffixes
LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")

pytestmark = needs_kubectl


@pytest.fixture(params=[*JOBS, *CLUSTERS])
def folder(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def manifests(folder: str) -> list[dict[str, Any]]:
    return built(folder)


@pytest.fixture
def raycluster(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """The spec of the cluster, of whichever form."""
    (owner,) = [each for each in manifests if each["kind"] in ("RayJob", "RayCluster")]
    spec: dict[str, Any] = owner["spec"]
    return spec["rayClusterSpec"] if owner["kind"] == "RayJob" else spec


@pytest.fixture(params=JOBS)
def rayjob(request: pytest.FixtureRequest) -> dict[str, Any]:
    return the(built(request.param), "RayJob")


def _templates(cluster: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield cluster["headGroupSpec"]["template"]
    yield from (group["template"] for group in cluster["workerGroupSpecs"])


def _pods(documents: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every pod template of whatever kind of object."""
    for document in documents:
        spec = document.get("spec", {})
        if document["kind"] == "Deployment":
            yield spec["template"]
        elif document["kind"] in ("RayJob", "RayCluster"):
            yield from _templates(spec.get("rayClusterSpec", spec))


class TestSchema:
    @pytest.mark.parametrize("folder", [*JOBS, *CLUSTERS, *ONCE])
    def test_every_object_is_valid(self, folder: str) -> None:
        documents = built(folder)
        assert documents
        for document in documents:
            validate(document)

    @pytest.mark.parametrize(
        ("folder", "kind", "path"),
        [
            ("overlays/cpu", "RayJob", ""),
            ("overlays/cpu", "RayJob", "metadata"),
            ("overlays/cpu", "RayJob", "spec"),
            ("overlays/cpu", "RayJob", "spec.rayClusterSpec"),
            ("overlays/cpu", "RayJob", "spec.rayClusterSpec.headGroupSpec.template.spec"),
            ("base", "RayCluster", "spec.headGroupSpec"),
            ("base", "NetworkPolicy", "spec"),
            ("storage", "PersistentVolumeClaim", "spec"),
            ("pages", "Deployment", "spec.template.spec"),
            ("clusters/gcs-fault-tolerance", "Service", "spec"),
            ("monitoring", "PodMonitor", "spec"),
            ("monitoring", "PrometheusRule", "spec"),
            ("monitoring", "ConfigMap", "metadata"),
        ],
    )
    def test_an_unknown_field_is_refused(self, folder: str, kind: str, path: str) -> None:
        document = copy.deepcopy(of_kind(built(folder), kind)[0])
        place = document
        for name in filter(None, path.split(".")):
            place = place[name]
        place["replicass"] = 1
        with pytest.raises(jsonschema.ValidationError, match="replicass"):
            validate(document)

    def test_a_wrong_type_is_refused(self) -> None:
        rayjob = copy.deepcopy(the(built("overlays/cpu"), "RayJob"))
        rayjob["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0
        with pytest.raises(jsonschema.ValidationError, match="0 is not of type 'string'"):
            validate(rayjob)


class TestForms:
    def test_a_job_and_a_cluster_of_one_name_differ_in_nothing_but_the_job(self) -> None:
        both = {path.removeprefix("overlays/") for path in JOBS} & {path.removeprefix("clusters/") for path in CLUSTERS}
        assert both == {"cpu", "gpu", "spot", "autoscaling", "kueue", "object-store"}
        for name in both:
            job, cluster = the(built(f"overlays/{name}"), "RayJob"), the(built(f"clusters/{name}"), "RayCluster")
            waits = cluster["spec"].pop("suspend", None)
            assert job["spec"]["rayClusterSpec"] == cluster["spec"], name
            assert job["spec"].get("suspend") == waits
            assert not of_kind(built(f"overlays/{name}"), "RayCluster")

    def test_every_component_is_in_a_form(self) -> None:
        used = {
            component
            for path in K8S.glob("*/*/kustomization.yaml")
            for component in yaml.safe_load(path.read_text()).get("components", [])
        }
        assert used == {f"../../components/{path.name}" for path in (K8S / "components").iterdir()}

    def test_deleting_what_was_applied_takes_no_rounds_along(self) -> None:
        """`kubectl delete -k` of anything but the storage itself leaves the volume claim."""
        for folder in [*JOBS, *CLUSTERS, *PAGES, "monitoring"]:
            for document in built(folder):
                assert document["kind"] not in ("PersistentVolumeClaim", "PersistentVolume", "Namespace"), folder
        assert [document["kind"] for document in built("storage")] == ["PersistentVolumeClaim"]

    def test_deleting_a_job_leaves_the_policies_of_a_cluster_and_the_other_way_round(self) -> None:
        jobs, clusters = (
            {each["metadata"]["name"] for folder in folders for each in of_kind(built(folder), "NetworkPolicy")}
            for folders in (JOBS, CLUSTERS)
        )
        assert not jobs & clusters
        assert {name.removesuffix("-job") for name in jobs} == clusters

    def test_the_image_is_named_in_one_place(self) -> None:
        (named,) = yaml.safe_load((K8S / "image" / "kustomization.yaml").read_text())["images"]
        expected = f"{named['newName']}:{named['newTag']}"
        images = {
            container["image"]
            for folder in [*JOBS, *CLUSTERS, *PAGES]
            for pod in _pods(built(folder))
            for container in pod["spec"]["containers"]
        }
        assert {image for image in images if not image.startswith("redis:")} == {expected}


class TestOperatorsRules:
    """What KubeRay's operator refuses or mends, and no schema says."""

    def test_names(self, manifests: list[dict[str, Any]], raycluster: dict[str, Any]) -> None:
        for kind, most in (("RayJob", MAX_RAYJOB_NAME), ("RayCluster", MAX_RAYCLUSTER_NAME)):
            for owner in of_kind(manifests, kind):
                name = owner["metadata"]["name"]
                assert owner["apiVersion"] == "ray.io/v1" and len(name) <= most and LABEL.fullmatch(name)
        for group in raycluster["workerGroupSpecs"]:
            assert len(group["groupName"]) <= MAX_GROUP_NAME and LABEL.fullmatch(group["groupName"])

    def test_the_ray_container_is_first(self, raycluster: dict[str, Any]) -> None:
        names = [template["spec"]["containers"][0]["name"] for template in _templates(raycluster)]
        assert names == ["ray-head", "ray-worker"]

    def test_ray_version_is_the_images(self, raycluster: dict[str, Any]) -> None:
        base = re.search(r"^FROM rayproject/ray:([\d.]+)-", (ROOT / "cluster" / "Dockerfile").read_text(), re.MULTILINE)
        assert base and raycluster["rayVersion"] == base[1]

    def test_nothing_that_the_operator_injects_is_written_by_hand(self, raycluster: dict[str, Any]) -> None:
        for template in _templates(raycluster):
            for container in template["spec"]["containers"]:
                assert not {"livenessProbe", "readinessProbe", "startupProbe", "ports"} & container.keys()
                assert "/dev/shm" not in {mount["mountPath"] for mount in container["volumeMounts"]}
            assert not [volume for volume in template["spec"]["volumes"] if "emptyDir" in volume]

    def test_the_autoscaler_is_v2_where_there_is_one(self, raycluster: dict[str, Any]) -> None:
        if not raycluster.get("enableInTreeAutoscaling"):
            assert all(group["replicas"] == group["maxReplicas"] for group in raycluster["workerGroupSpecs"])
            return
        assert raycluster["autoscalerOptions"]["version"] == "v2"
        assert {template["spec"]["restartPolicy"] for template in _templates(raycluster)} == {"Never"}

    def test_a_clusters_state_is_kept_where_nothing_else_resumes_it(self) -> None:
        """A driver ends with its head, so that a job on a cluster of its own would gain nothing."""
        for folder in [*JOBS, *CLUSTERS]:
            (owner,) = [each for each in built(folder) if each["kind"] in ("RayJob", "RayCluster")]
            options = owner["spec"].get("rayClusterSpec", owner["spec"]).get("gcsFaultToleranceOptions")
            assert (options is not None) == (folder == "clusters/gcs-fault-tolerance")

    def test_redis_is_the_one_that_the_head_asks_with_one_password(self) -> None:
        documents = built("clusters/gcs-fault-tolerance")
        options = the(documents, "RayCluster")["spec"]["gcsFaultToleranceOptions"]
        service, redis = the(documents, "Service"), the(documents, "Deployment")["spec"]["template"]
        (port,) = service["spec"]["ports"]
        assert options["redisAddress"] == f"{service['metadata']['name']}:{port['port']}"
        assert service["spec"]["selector"].items() <= redis["metadata"]["labels"].items()
        (password,) = redis["spec"]["containers"][0]["env"]
        assert password["valueFrom"] == options["redisPassword"]["valueFrom"]


class TestRun:
    def test_it_is_the_laptops_command_and_fails_only_where_a_retry_may_help(self, rayjob: dict[str, Any]) -> None:
        mounts = rayjob["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["volumeMounts"]
        storage = mounts[0]["mountPath"] if mounts else "s3://BUCKET/rounds"
        expected = f"raytune-playbook run jobs/digits_batch_norm.py --storage {storage} --exit-0-if-hopeless"
        assert rayjob["spec"]["entrypoint"] == expected

    def test_a_long_run_survives_and_ends(self, rayjob: dict[str, Any]) -> None:
        spec = rayjob["spec"]
        assert spec["submissionMode"] == "HTTPMode"
        assert spec["backoffLimit"] > 0 and spec["activeDeadlineSeconds"] > 0
        assert spec["shutdownAfterJobFinishes"] is True and spec["ttlSecondsAfterFinished"] > 0

    def test_what_is_queued_waits_suspended(self, manifests: list[dict[str, Any]]) -> None:
        (owner,) = [each for each in manifests if each["kind"] in ("RayJob", "RayCluster")]
        is_queued = "kueue.x-k8s.io/queue-name" in owner["metadata"]["labels"]
        assert owner["spec"].get("suspend", False) == is_queued

    def test_the_head_holds_no_trial(self, raycluster: dict[str, Any]) -> None:
        assert raycluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"

    def test_a_worker_that_is_to_go_drains_with_the_images_script_within_its_grace_period(
        self, raycluster: dict[str, Any]
    ) -> None:
        script = "cluster/drain.sh"
        dockerfile = (ROOT / "cluster" / "Dockerfile").read_text()
        assert f"COPY --chown=1000:100 {script} {script}" in dockerfile
        (home,) = re.findall(r"^WORKDIR (.+)$", dockerfile, re.MULTILINE)
        for group in raycluster["workerGroupSpecs"]:
            pod = group["template"]["spec"]
            shell, path, seconds = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
            assert (shell, path) == ("sh", f"{home}/{script}")
            assert int(seconds) < pod["terminationGracePeriodSeconds"]

    def test_every_pod_mounts_the_claim_or_has_the_object_stores_credentials(
        self, folder: str, raycluster: dict[str, Any]
    ) -> None:
        claim = the(built("storage"), "PersistentVolumeClaim")
        assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
        for template in _templates(raycluster):
            container = template["spec"]["containers"][0]
            if folder.endswith("object-store"):
                assert (template["spec"]["volumes"], container["volumeMounts"]) == ([], [])
                assert [each["secretRef"]["name"] for each in container["envFrom"]] == ["raytune-playbook-object-store"]
                continue
            volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
            (mount,) = container["volumeMounts"]
            assert volumes[mount["name"]]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]

    def test_the_head_is_off_the_nodes_that_spot_workers_are_on(self) -> None:
        cluster = the(built("clusters/spot"), "RayCluster")["spec"]

        def terms(template: dict[str, Any]) -> list[dict[str, Any]]:
            required = "requiredDuringSchedulingIgnoredDuringExecution"
            found: list[dict[str, Any]] = template["spec"]["affinity"]["nodeAffinity"][required]["nodeSelectorTerms"]
            return found

        head, worker = _templates(cluster)
        (off,) = terms(head)
        on = [each for term in terms(worker) for each in term["matchExpressions"]]
        assert [{**each, "operator": "NotIn"} for each in on] == off["matchExpressions"]

    def test_workers_with_gpus_may_go_where_only_gpus_are_wanted(self) -> None:
        (group,) = the(built("clusters/gpu"), "RayCluster")["spec"]["workerGroupSpecs"]
        resources = group["template"]["spec"]["containers"][0]["resources"]
        assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == "1"
        assert "nvidia.com/gpu" in {each["key"] for each in group["template"]["spec"]["tolerations"]}

    def test_the_pages_are_those_of_the_volume_and_listen_in_their_pod_only(self) -> None:
        pod = the(built("pages"), "Deployment")["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        (mount,) = container["volumeMounts"]
        assert container["command"][:3] == ["raytune-playbook", "serve", mount["mountPath"]]
        assert "--host" not in container["command"] and mount["readOnly"] is True
        claim = the(built("storage"), "PersistentVolumeClaim")["metadata"]["name"]
        assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim

    def test_the_pages_of_an_object_store_differ_in_where_the_rounds_are_and_take_the_volumes_place(self) -> None:
        of_volume, of_store = (the(built(folder), "Deployment") for folder in PAGES)
        expected = copy.deepcopy(of_volume)
        pod = expected["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        del pod["volumes"], container["volumeMounts"]
        container["command"][2] = "s3://BUCKET/rounds"
        job = the(built("overlays/object-store"), "RayJob")["spec"]
        assert container["command"][2] in job["entrypoint"].split()
        container["envFrom"] = job["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["envFrom"]
        assert of_store == expected


class TestSecurity:
    def test_tokens_are_on(self, raycluster: dict[str, Any]) -> None:
        assert raycluster["authOptions"]["mode"] == "token"

    @pytest.mark.parametrize("folder", [*JOBS, *CLUSTERS, *PAGES])
    def test_no_pod_is_root(self, folder: str) -> None:
        for template in _pods(built(folder)):
            pod = template["spec"]["securityContext"]
            assert pod["runAsNonRoot"] is True and pod["runAsUser"] > 0
            assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
            for container in template["spec"]["containers"]:
                assert container["securityContext"]["allowPrivilegeEscalation"] is False
                assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}

    @pytest.mark.parametrize("folder", [*JOBS, *CLUSTERS, *PAGES])
    def test_no_pod_has_credentials_but_the_head_with_an_autoscaler(self, folder: str) -> None:
        bearing = [
            pod["spec"]["containers"][0]["name"]
            for pod in _pods(built(folder))
            if pod["spec"].get("automountServiceAccountToken") is not False
        ]
        assert bearing == (["ray-head"] if "autoscaling" in folder else [])

    @pytest.mark.parametrize("folder", [*JOBS, *CLUSTERS, *PAGES])
    def test_a_policy_covers_every_pod_both_ways(self, folder: str) -> None:
        documents = built(folder)
        policies = [each["spec"] for each in of_kind(documents, "NetworkPolicy")]
        for template in _pods(documents):
            labels = template["metadata"]["labels"].items()
            covering = [each for each in policies if each["podSelector"]["matchLabels"].items() <= labels]
            assert {way for each in covering for way in each["policyTypes"]} == {"Ingress", "Egress"}

    def test_the_policy_lets_in_pods_and_operator_and_out_to_pods_and_dns(
        self, manifests: list[dict[str, Any]]
    ) -> None:
        policy = next(each for each in of_kind(manifests, "NetworkPolicy") if "Ingress" in each["spec"]["policyTypes"])
        spec = policy["spec"]
        among_themselves = [{"podSelector": spec["podSelector"]}]
        pods_in, operator_in = spec["ingress"]
        assert pods_in == {"from": among_themselves}
        assert operator_in["ports"] == [{"protocol": "TCP", "port": 8265}]
        pods_out, dns_out = spec["egress"]
        assert pods_out == {"to": among_themselves}
        assert {(port["protocol"], port["port"]) for port in dns_out["ports"]} == {("UDP", 53), ("TCP", 53)}

    def test_what_else_is_let_out_is_what_the_overlay_is_about(self, folder: str) -> None:
        further = {"autoscaling": {443, 6443}, "object-store": {443}}.get(folder.rpartition("/")[2], set())
        policies = [each["spec"] for each in of_kind(built(folder), "NetworkPolicy")]
        ports = {
            port["port"]
            for spec in policies
            if "Ingress" not in spec["policyTypes"]
            for rule in spec["egress"]
            for port in rule["ports"]
        }
        assert ports == further

    def test_nothing_comes_to_the_pages_or_leaves_them(self) -> None:
        spec = the(built("pages"), "NetworkPolicy")["spec"]
        assert not spec.get("ingress") and not spec.get("egress")

    def test_nothing_comes_to_the_pages_of_an_object_store_and_they_reach_it_as_the_cluster_does(self) -> None:
        spec = the(built("pages-object-store"), "NetworkPolicy")["spec"]
        assert spec["podSelector"] == the(built("pages"), "NetworkPolicy")["spec"]["podSelector"]
        assert not spec.get("ingress")
        of_cluster = [each["spec"] for each in of_kind(built("clusters/object-store"), "NetworkPolicy")]
        among_themselves = {"to": [{"podSelector": {"matchLabels": {"app": "raytune-playbook"}}}]}
        reached = [rule for each in of_cluster for rule in each["egress"] if rule != among_themselves]
        assert sorted(spec["egress"], key=str) == sorted(reached, key=str)

    def test_no_secret_is_written_down(self) -> None:
        for folder in [*JOBS, *CLUSTERS, *ONCE]:
            assert not of_kind(built(folder), "Secret")
