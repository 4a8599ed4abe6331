"""Keeps the chatter of Ray, Tune and torch off the terminal: it goes to the round's ``logs/driver.log``."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

from raytune_playbook.engine.cluster.ray_internals import TUNE_ENVIRONMENT, raylet_silenced
from raytune_playbook.errors import SpecError

CHATTERERS = ("ray", "raytune_playbook", "torch", "py.warnings")

_ONE_AT_A_TIME = threading.Lock()


@contextlib.contextmanager
def driver_log() -> Iterator[Path]:
    """Within it log records and warnings go to a file, whose path this yields; copy it before the end.

    Raises:
        SpecError: another thread of this process is within it.
    """
    if not _ONE_AT_A_TIME.acquire(blocking=False):
        raise SpecError(
            "A process runs one round at a time, since its connection to Ray, Tune's names and its logs are one, but "
            "another of its threads runs one; run them one after another, or in processes of their own."
        )
    try:
        with _logs_in_a_file() as path:
            yield path
    finally:
        _ONE_AT_A_TIME.release()


@contextlib.contextmanager
def _logs_in_a_file() -> Iterator[Path]:
    saved_environment = {name: os.environ.get(name) for name in TUNE_ENVIRONMENT}
    os.environ.update(TUNE_ENVIRONMENT)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "driver.log"
        handler = logging.FileHandler(path)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        saved = {}
        for name in CHATTERERS:
            logger = logging.getLogger(name)
            saved[name] = (logger.handlers[:], logger.propagate, logger.level)
            logger.handlers, logger.propagate = [handler], False
            logger.setLevel(logging.INFO)
        # It misses Tune's own result files, a line for each trial; our records replace them.
        logging.getLogger("ray.tune.analysis").setLevel(logging.ERROR)
        logging.captureWarnings(True)
        try:
            with raylet_silenced(), warnings.catch_warnings():
                yield path
        finally:
            logging.captureWarnings(False)
            for name, (handlers, propagate, level) in saved.items():
                logger = logging.getLogger(name)
                logger.handlers, logger.propagate = handlers, propagate
                logger.setLevel(level)
            handler.close()
            for name, value in saved_environment.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
