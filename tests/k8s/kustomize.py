"""What kubectl makes of the folders of ``k8s/``."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"

JOBS = sorted(f"overlays/{path.name}" for path in (K8S / "overlays").iterdir())
CLUSTERS = ["base", *sorted(f"clusters/{path.name}" for path in (K8S / "clusters").iterdir())]
PAGES = ["pages", "pages-object-store"]
ONCE = ["storage", *PAGES, "monitoring"]
"""What is applied once to a namespace, of the pages either."""

needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


@cache
def _built(folder: str) -> str:
    built = subprocess.run(["kubectl", "kustomize", str(K8S / folder)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return built.stdout


def built(folder: str) -> list[dict[str, Any]]:
    """The objects that `kubectl apply -k` would make."""
    return list(yaml.safe_load_all(_built(folder)))


def of_kind(documents: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [document for document in documents if document["kind"] == kind]


def the(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The only one of its kind."""
    (found,) = of_kind(documents, kind)
    return found
