"""What `raytune-playbook manifest` prints: valid, the same as kustomize builds, and with code that runs from it."""

from __future__ import annotations

import base64
import copy
import itertools
import os
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

from raytune_playbook import Resources
from raytune_playbook.errors import JobFileError, SubmissionError
from raytune_playbook.submission.kubernetes.manifest import MAX_NAME, Deployment, PodWish, job_name, manifest
from raytune_playbook.submission.kubernetes.overlays import ONLY_OF_CLUSTERS, OVERLAYS
from tests.k8s.kustomize import CLUSTERS, JOBS, K8S, ROOT, built, needs_kubectl, the
from tests.k8s.packaged import PACKAGED, packaged
from tests.k8s.schemas import validate

MAIN_JOB = "jobs/digits_batch_norm.py"
IMAGE = "raytune-playbook:VERSION"
RESOURCES = Resources(num_workers=2, cpus_per_worker=0.5)
"""Those of the main job."""


def deployment(**given: Any) -> Deployment:
    return Deployment(**{"storage": "/mnt/storage", "image": IMAGE, **given})


def of_kind(documents: tuple[dict[str, Any], ...], kind: str) -> list[dict[str, Any]]:
    return [each for each in documents if each["kind"] == kind]


def head(job: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    return pod


def workers(job: dict[str, Any]) -> dict[str, Any]:
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    found: dict[str, Any] = group
    return found


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job file with a helper module, a package, a file in another encoding and one that must not travel."""
    folder = tmp_path / "job"
    (folder / "helpers" / "deeper").mkdir(parents=True)
    (folder / "helpers" / "__init__.py").write_text("from helpers.deeper.names import NAME\n")
    (folder / "helpers" / "deeper" / "__init__.py").write_text("")
    (folder / "helpers" / "deeper" / "names.py").write_text("NAME = 'a helper'\n")
    (folder / "latin.py").write_bytes("# coding: latin-1\nNAME = 'größer'\n".encode("latin-1"))
    (folder / "weights.bin").write_bytes(b"0" * 1000)
    path = folder / "my_job.py"
    path.write_text("import helpers, latin\nprint(helpers.NAME, len(latin.NAME))\n")
    return path


def laid_out(documents: tuple[dict[str, Any], ...], folder: Path) -> str:
    """The head's file system as far as the ConfigMap goes, below a folder; and the command's job file."""
    (config_map,), (rayjob,) = of_kind(documents, "ConfigMap"), of_kind(documents, "RayJob")
    contents = {key: text.encode() for key, text in config_map["data"].items()}
    contents |= {key: base64.b64decode(text) for key, text in config_map.get("binaryData", {}).items()}
    (volume,) = [each for each in head(rayjob)["volumes"] if "configMap" in each]
    assert volume["configMap"]["name"] == config_map["metadata"]["name"]
    by_path = {item["path"]: contents[item["key"]] for item in volume["configMap"]["items"]}
    for mount in head(rayjob)["containers"][0]["volumeMounts"]:
        if mount["name"] == volume["name"]:
            file = folder / mount["mountPath"].lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(by_path[mount["subPath"]])
    path: str = rayjob["spec"]["entrypoint"].split()[2]
    return path


class TestTheSameAsKustomize:
    def test_what_travels_with_the_package_is_made_from_the_manifests(self) -> None:
        assert PACKAGED.read_text() == packaged(), "run python -m tests.k8s.packaged --write"

    @needs_kubectl
    @pytest.mark.parametrize("folder", JOBS)
    def test_a_job_in_the_image_is_what_kustomize_builds_but_for_what_the_job_decides(self, folder: str) -> None:
        name = folder.rpartition("/")[2]
        storage = "s3://BUCKET/rounds" if name == "object-store" else "/mnt/storage"
        wanted = deployment(overlays=(name,), is_in_image=True, storage=storage)
        made = manifest(MAIN_JOB, "digits_batch_norm", RESOURCES, wanted)
        ours, theirs = made.documents[-1], copy.deepcopy(the(built(folder), "RayJob"))
        if name in ("gpu", "autoscaling"):  # more gangs fit, whose helpers the head has room for
            _leave_out_the_heads_memory(ours, theirs)
        assert _without_empty(ours) == _without_empty(theirs)
        others = [each for each in built(folder) if each["kind"] != "RayJob"]  # in the order of their names
        specs, expected = ([each["spec"] for each in objects] for objects in (made.documents[:-1], others))
        assert all(each in expected for each in specs) and len(specs) == len(expected)

    @needs_kubectl
    def test_several_overlays_are_what_kustomize_makes_of_their_components(self, tmp_path: Path) -> None:
        names = ("spot", "gpu", "autoscaling", "object-store")
        components = [os.path.relpath(K8S / "components" / name, tmp_path) for name in (*names, "job", "kueue")]
        kustomization = {"resources": [os.path.relpath(K8S / "base", tmp_path)], "components": components}
        (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        theirs = the(built(str(tmp_path)), "RayJob")
        wanted = deployment(overlays=("kueue", *names), is_in_image=True, storage="s3://bucket/rounds")
        ours = manifest(MAIN_JOB, "digits_batch_norm", Resources(gpus_per_worker=1), wanted).documents[-1]
        theirs["spec"]["entrypoint"] = ours["spec"]["entrypoint"]
        _leave_out_the_heads_memory(ours, theirs)
        for job in (ours, theirs):  # each overlay adds some
            pod = workers(job)["template"]["spec"]
            pod["tolerations"] = sorted(pod["tolerations"], key=lambda each: each["key"])
        assert _without_empty(ours) == _without_empty(theirs)

    def test_every_overlay_can_be_asked_for(self) -> None:
        assert {folder.rpartition("/")[2] for folder in JOBS} == set(OVERLAYS)

    def test_what_clusters_alone_have_is_known(self) -> None:
        assert {folder.rpartition("/")[2] for folder in CLUSTERS[1:]} == {*OVERLAYS, *ONLY_OF_CLUSTERS}


def _leave_out_the_heads_memory(*jobs: dict[str, Any]) -> None:
    for job in jobs:
        for amounts in head(job)["containers"][0]["resources"].values():
            del amounts["memory"]


def _without_empty(value: Any) -> Any:
    """Kustomize leaves out a list that is empty."""
    if isinstance(value, dict):
        return {name: _without_empty(each) for name, each in value.items() if each != []}
    return [_without_empty(each) for each in value] if isinstance(value, list) else value


class TestValid:
    @pytest.mark.parametrize("in_image", [False, True])
    @pytest.mark.parametrize(
        "overlays",
        [(), ("gpu",), ("spot", "gpu"), ("autoscaling", "spot"), ("kueue",), ("kueue", "autoscaling", "gpu", "spot")],
    )
    @pytest.mark.parametrize("storage", ["/mnt/storage/team", "s3://bucket/rounds"])
    def test_every_object_of_every_combination(
        self, job: Path, overlays: tuple[str, ...], storage: str, in_image: bool
    ) -> None:
        wanted = deployment(overlays=overlays, storage=storage, is_in_image=in_image)
        resources = Resources(num_gangs=3, node_labels={"zone": "a"}, gpus_per_worker=float("gpu" in overlays))
        made = manifest(str(job), "my_round", resources, wanted)
        for document in made.documents:
            validate(document)
        assert len(of_kind(made.documents, "ConfigMap")) == (not in_image)
        assert not of_kind(made.documents, "PersistentVolumeClaim")

    def test_everything_is_named_after_the_round_so_that_deleting_it_leaves_other_rounds(self, job: Path) -> None:
        wanted = deployment(overlays=("autoscaling",), storage="s3://bucket/rounds")
        one, other = (
            {(each["kind"], each["metadata"]["name"]) for each in manifest(str(job), name, RESOURCES, wanted).documents}
            for name in ("one", "other")
        )
        assert one == {
            ("NetworkPolicy", "one"),
            ("NetworkPolicy", "one-autoscaler"),
            ("NetworkPolicy", "one-object-store"),
            ("ConfigMap", "one-code"),
            ("RayJob", "one"),
        }
        assert not one & other


class TestCode:
    def test_the_code_runs_from_where_the_pod_has_it(self, job: Path, tmp_path: Path) -> None:
        made = manifest(str(job), "my_round", RESOURCES, deployment())
        path = laid_out(made.documents, tmp_path / "pod")
        assert path == "/home/ray/job/my_job.py"
        command = [sys.executable, str(tmp_path / "pod" / path.lstrip("/"))]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        assert done.stdout == "a helper 6\n", done.stderr
        assert not list((tmp_path / "pod").rglob("weights.bin"))

    def test_a_job_of_a_package_keeps_its_place_in_it(self, tmp_path: Path) -> None:
        package = tmp_path / "project"
        (package / "jobs").mkdir(parents=True)
        for folder in (package, package / "jobs"):
            (folder / "__init__.py").write_text("")
        (package / "names.py").write_text("NAME = 'a sibling'\n")
        (package / "jobs" / "my_job.py").write_text("from ..names import NAME\nprint(NAME)\n")
        made = manifest(str(package / "jobs" / "my_job.py"), "my_round", RESOURCES, deployment())
        path = laid_out(made.documents, tmp_path / "pod")
        assert path == "/home/ray/job/project/jobs/my_job.py"
        command = [sys.executable, "-m", "project.jobs.my_job"]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=tmp_path / "pod" / "home/ray/job"
        )
        assert done.stdout == "a sibling\n", done.stderr

    def test_files_whose_names_kubernetes_does_not_take_keep_theirs_in_the_pod(self, job: Path, tmp_path: Path) -> None:
        names = ["ä b.py", "ö b.py", "helpers..__init__.py", "_ b.py"]
        for number, name in enumerate(names):
            (job.parent / name).write_text(f"{number}\n")
        made = manifest(str(job), "my_round", RESOURCES, deployment())
        for document in made.documents:
            validate(document)
        (config_map,) = of_kind(made.documents, "ConfigMap")
        assert all(key.isascii() and "/" not in key and " " not in key for key in config_map["data"])
        laid_out(made.documents, tmp_path / "pod")
        for number, name in enumerate(names):
            assert (tmp_path / "pod" / "home/ray/job" / name).read_text() == f"{number}\n"

    def test_a_path_with_blanks_is_one_argument_of_the_command(self, job: Path) -> None:
        spaced = job.rename(job.with_name("my job.py"))
        (rayjob,) = of_kind(manifest(str(spaced), "r", RESOURCES, deployment()).documents, "RayJob")
        assert rayjob["spec"]["entrypoint"].startswith("raytune-playbook run '/home/ray/job/my job.py' --storage ")

    def test_what_a_plain_apply_cannot_note_is_told(self, job: Path) -> None:
        assert not manifest(str(job), "my_round", RESOURCES, deployment()).notes
        (job.parent / "large.py").write_text("#" * 300_000)
        (note,) = manifest(str(job), "my_round", RESOURCES, deployment()).notes
        assert "kubectl apply --server-side -f -" in note

    @pytest.mark.parametrize("num_bytes", [2**20, 11_000_000])
    def test_more_than_a_configmap_holds_is_refused_and_an_image_is_the_way(self, job: Path, num_bytes: int) -> None:
        (job.parent / "large.py").write_text("#" * num_bytes)
        with pytest.raises(SubmissionError) as refused:
            manifest(str(job), "my_round", RESOURCES, deployment())
        assert "--in-image" in str(refused.value) and "submit" in str(refused.value)
        made = manifest("jobs/large.py", "my_round", RESOURCES, deployment(is_in_image=True))
        (rayjob,) = of_kind(made.documents, "RayJob")
        assert rayjob["spec"]["entrypoint"].startswith("raytune-playbook run jobs/large.py ")
        assert len(head(rayjob)["volumes"]) == 1

    def test_as_much_as_a_configmap_holds_is_taken(self, tmp_path: Path) -> None:
        (tmp_path / "a.py").write_text("#" * 2**20)
        assert manifest(str(tmp_path / "a.py"), "my_round", RESOURCES, deployment()).documents


class TestSizes:
    def test_pods_follow_from_the_rounds_resources(self, job: Path) -> None:
        resources = Resources(num_gangs=4, num_workers=2, cpus_per_worker=4, gpus_per_worker=1)
        (rayjob,) = of_kind(manifest(str(job), "r", resources, deployment(overlays=("gpu",))).documents, "RayJob")
        group = workers(rayjob)
        assert group["replicas"] == group["minReplicas"] == group["maxReplicas"] == 8
        amounts = {"cpu": "5", "memory": "32Gi", "nvidia.com/gpu": "1"}
        assert group["template"]["spec"]["containers"][0]["resources"] == {"requests": amounts, "limits": amounts}
        memory = head(rayjob)["containers"][0]["resources"]
        assert memory["requests"]["memory"] == memory["limits"]["memory"] == "7Gi"

    def test_larger_nodes_can_be_named(self, job: Path) -> None:
        wish = PodWish(cpus=96, memory_gib=512, gpus=8)
        resources = Resources(num_gangs=1, num_workers=16, cpus_per_worker=10, gpus_per_worker=1)
        (rayjob,) = of_kind(
            manifest(str(job), "r", resources, deployment(overlays=("gpu",), pods=wish)).documents, "RayJob"
        )
        assert workers(rayjob)["replicas"] == 2
        limits = workers(rayjob)["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert limits == {"cpu": "81", "memory": "512Gi", "nvidia.com/gpu": "8"}

    def test_nodes_get_the_labels_that_the_round_asks_for(self, job: Path) -> None:
        resources = Resources(node_labels={"zone": "a"})
        (rayjob,) = of_kind(manifest(str(job), "r", resources, deployment()).documents, "RayJob")
        assert workers(rayjob)["labels"] == {"zone": "a"}

    def test_idle_gpus_are_told(self, job: Path) -> None:
        (note,) = manifest(str(job), "r", RESOURCES, deployment(overlays=("gpu",))).notes
        assert "stay idle" in note


NO_IMAGES = (":", "-", "/", "-x", ":1", "/a/b", "@", "a:", "a/", "a@", ".", "a\n")


class TestNames:
    @pytest.mark.parametrize(
        ("round_name", "name"),
        [
            ("digits_batch_norm", "digits-batch-norm"),
            ("round_2nd", "round-2nd"),
            ("a-b", "a-b-d44362d6"),
            ("A.b--C_", "a-b-c-"),
            ("2nd", "round-2nd-"),
            ("7_", "round-7-"),
            ("a" * 47, "a" * 47),
        ],
    )
    def test_a_rounds_name_as_kubernetes_takes_it(self, round_name: str, name: str) -> None:
        end = sha256(round_name.encode()).hexdigest()[:8] if name.endswith("-") else ""
        assert job_name(round_name) == f"{name}{end}"

    def test_names_that_differ_stay_apart(self) -> None:
        """All names of four characters out of those that Kubernetes does not tell apart."""
        names = ["".join(("a", *more)) for num in range(4) for more in itertools.product("aA0_-.", repeat=num)]
        names = [*dict.fromkeys([*names, *map(str.upper, names)])]
        called = [job_name(each) for each in names]
        assert len(set(called)) == len(names)
        assert [each for each in called if not re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", each)] == []

    def test_long_names_are_cut_the_same_every_time_and_stay_apart(self) -> None:
        long = ["a" * 48, "a" * 49, "a" * 37 + "_" * 20 + "b"]
        names = [job_name(each) for each in long]
        assert names == [job_name(each) for each in long]
        assert len(set(names)) == len(names)
        assert all(len(name) <= MAX_NAME and "--" not in name for name in names)

    def test_another_name_is_told(self, job: Path) -> None:
        (note,) = manifest(str(job), "Mine", RESOURCES, deployment()).notes
        assert note == f"Round Mine is called {job_name('Mine')} on Kubernetes."


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"overlays": ("gpus",)},
            "one of cpu, gpu, spot, autoscaling, kueue, object-store, but got 'gpus'",
        ),
        (
            {"overlays": ("gcs-fault-tolerance",)},
            "gcs-fault-tolerance is for clusters that stay up; leave it out, or apply k8s/clusters/gcs-fault-",
        ),
        ({"overlays": ("object-store",)}, "needs a storage like s3://bucket/rounds, but got '/mnt/storage'"),
        ({"storage": "rounds"}, "pods reach /mnt/storage, where the volume is"),
        ({"storage": "/mnt/storage2"}, "pods reach /mnt/storage, where the volume is"),
        ({"storage": "/mnt/storage/../x"}, "pods reach /mnt/storage, where the volume is"),
        ({"storage": "file:///mnt/storage"}, "pods reach /mnt/storage, where the volume is"),
        ({"image": ""}, "--image: the name of an image is needed, but got ''"),
        ({"image": "a b"}, "--image: the name of an image is needed, but got 'a b'"),
        *(({"image": each}, f"--image: the name of an image is needed, but got {each!r}") for each in NO_IMAGES),
        ({"storage": "foo://x"}, "--storage: a folder's path or a URI that pyarrow knows is needed"),
        ({"storage": "S3://bucket/x"}, "--storage: a folder's path or a URI that pyarrow knows is needed"),
        ({"storage": "://x"}, "--storage: a folder's path or a URI that pyarrow knows is needed"),
        ({"storage": "s3://"}, "--storage: a URI of an object store names a bucket, but got 's3://'"),
        ({"storage": "gs://bucket/x"}, "have the keys of s3://bucket/rounds alone, but got 'gs://bucket/x'"),
        ({"storage": ""}, "--storage: a folder's path or a URI is needed, but got ''"),
        ({"pods": PodWish(gpus=2)}, "add --overlay gpu"),
    ],
)
def test_what_no_pod_could_run_is_refused_in_one_sentence(job: Path, given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SubmissionError) as refused:
        manifest(str(job), "my_round", RESOURCES, deployment(**given))
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


def test_a_job_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobFileError):
        manifest(str(tmp_path / "none.py"), "my_round", RESOURCES, deployment())


def test_the_main_job_is_where_the_manifests_say() -> None:
    assert (ROOT / MAIN_JOB).is_file()
