"""An object store for checkpoints."""

from tests.records.conftest import s3, s3_endpoint  # noqa: F401, fixtures
