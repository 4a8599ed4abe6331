"""The command that prints a job for Kubernetes."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from raytune_playbook.cli.arguments import JOB
from raytune_playbook.cli.group import PROGRAM, commands

_NUMBER = click.IntRange(min=1)


@commands.command("manifest")
@JOB
@click.option("--overlay", "overlays", multiple=True, metavar="NAME", help="gpu, spot, autoscaling, kueue; repeatable.")
@click.option("--image", metavar="NAME", help="Of every node (default: raytune-playbook with this version's tag).")
@click.option("--in-image", is_flag=True, help="The image has the job file under the same path, so print no code.")
@click.option(
    "--storage", default="/mnt/storage", metavar="URI", help="Below the volume at /mnt/storage, or s3://bucket/rounds."
)
@click.option("--pods", type=_NUMBER, metavar="N", help="Of workers; at most so many with --overlay autoscaling.")
@click.option("--pod-cpus", type=_NUMBER, metavar="N", help="CPUs that a worker's pod may have.")
@click.option("--pod-memory-gib", type=_NUMBER, metavar="N", help="Memory of a worker's pod.")
@click.option("--pod-gpus", type=_NUMBER, metavar="N", help="GPUs that a worker's pod may have, with --overlay gpu.")
def _manifest(
    job: str, *, overlays: tuple[str, ...], image: str | None, in_image: bool, storage: str, **pods: int | None
) -> None:
    """Print a RayJob that runs a job file on Kubernetes, for `kubectl apply --server-side -f -`.

    JOB is a Python file that defines a Round; it goes along in a ConfigMap with its helper modules. Pods follow from
    the round's Resources.
    """
    from raytune_playbook.submission.kubernetes.documents import as_yaml
    from raytune_playbook.submission.kubernetes.manifest import Deployment, PodWish, manifest
    from raytune_playbook.submission.staging import require_job_file

    require_job_file(Path(job))
    from raytune_playbook.engine.jobs.job_file import load_job

    round_ = load_job(job).round
    names = {"pods": "pods", "pod_cpus": "cpus", "pod_memory_gib": "memory_gib", "pod_gpus": "gpus"}
    wish = PodWish(**{names[option]: number for option, number in pods.items()})
    own_image = f"{PROGRAM}:{_version()}"
    deployment = Deployment(storage, own_image if image is None else image, overlays, in_image, wish)
    made = manifest(job, round_.name, round_.resources, deployment)
    unnamed = f"The pods run {own_image}, which no registry has but your own; name what you pushed with --image."
    for note in [*([unnamed] if image is None else []), *made.notes]:
        click.echo(note, err=True)
    click.echo(as_yaml(made.documents), nl=False)


def _version() -> str:
    try:
        return version(PROGRAM)
    except PackageNotFoundError:  # used from its source
        return "latest"
