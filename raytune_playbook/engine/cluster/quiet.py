"""Keeps the chatter of Ray, Tune and torch off the terminal: it goes to the round's ``logs/driver.log``."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import ray._private.worker as ray_worker

CHATTERERS = ("ray", "raytune_playbook", "torch", "py.warnings")

ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # our own records replace Tune's CSV, JSON and TensorBoard files
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # Tune's state is scratch
    "TUNE_WARN_THRESHOLD_S": "30",
    "TUNE_MAX_PENDING_TRIALS_PG": "1024",
    "RAY_AIR_NEW_OUTPUT": "0",
}


@contextlib.contextmanager
def driver_log() -> Iterator[Path]:
    """Within it log records and warnings go to a file, whose path this yields; copy it before the end."""
    saved_environment = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
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
        # The raylet's remarks (many processes on few cores, say) are printed by a thread of Ray's that knows no logger;
        # they stand in Ray's own logs.
        shows_raylet = ray_worker._worker_logs_enabled
        ray_worker._worker_logs_enabled = False
        try:
            with warnings.catch_warnings():
                yield path
        finally:
            ray_worker._worker_logs_enabled = shows_raylet
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
