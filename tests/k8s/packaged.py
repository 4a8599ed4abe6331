"""The manifests of ``k8s/`` as they travel with the package: ``python -m tests.k8s.packaged --write`` makes them anew.

`raytune-playbook manifest` must work without a checkout and without kubectl. So the files of the base and of the
components are put into one file of the package, as they are but for their comments.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
PACKAGED = ROOT / "raytune_playbook" / "submission" / "kubernetes" / "manifests.yaml"
NOT_PACKAGED = ("job", "gcs-fault-tolerance")
"""What `manifest` does itself, and what is no use to a job."""

HEADER = "# Made from k8s/ by `python -m tests.k8s.packaged --write`: change it there.\n"


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def packaged() -> str:
    """What the file must be."""
    base = _loaded(K8S / "base" / "kustomization.yaml")
    components = [path for path in sorted((K8S / "components").iterdir()) if path.name not in NOT_PACKAGED]
    manifests = {
        "base": [each for name in base["resources"] for each in _documents(K8S / "base" / name)],
        "job": _loaded(K8S / "components" / "job" / "rayjob.yaml"),
        "components": {path.name: _component(path) for path in components},
    }
    return HEADER + yaml.dump(manifests, Dumper=_Dumper, sort_keys=False, width=120)


def _component(folder: Path) -> dict[str, Any]:
    given = _loaded(folder / "kustomization.yaml")
    assert given.keys() <= {"apiVersion", "kind", "resources", "patches"}, folder
    patches = [
        {"kinds": patch["target"]["kind"].split("|"), "operations": yaml.safe_load(patch["patch"])}
        for patch in given.get("patches", [])
    ]
    resources = [each for name in given.get("resources", []) for each in _documents(folder / name)]
    return {"resources": resources, "patches": patches}


def _documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def _loaded(path: Path) -> dict[str, Any]:
    (document,) = _documents(path)
    return document


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PACKAGED.write_text(packaged())
    else:
        sys.stdout.write(packaged())
