"""Fingerprints: short hashes by which the same study, trial or examples are known again."""

from __future__ import annotations

import hashlib
import json


def fingerprint(content: object) -> str:
    """A short hash of JSON content that is the same in every process and version."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()
