"""One `TorchTrainer.fit()`: the worker group of a gang, from its start to its end."""

from __future__ import annotations

from raytune_playbook.engine.capacity import bundle
from raytune_playbook.engine.gang_state import Fit
from raytune_playbook.engine.messages import Handle
from raytune_playbook.study.spec import Resources

TRAIN_ENVIRONMENT = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # a dead worker is noticed this soon
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # trials print to log files of their own
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "TENSORBOARDX_DISABLED": "1",
}
"""Of the process that calls `run_fit`."""


def run_fit(fit: Fit, name: str, resources: Resources, *, host: Handle, pool: Handle, scratch: str) -> None:
    """Start the workers and wait for their end, in a thread of their host.

    Args:
        name: of the gang.
        host, pool: whom the workers talk to.
        scratch: a folder for what Train writes.
    """
    # Imported here, since every process that holds a handle to the pool imports this module, and needs no torch.
    from ray.train import FailureConfig, RunConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.config import ScalingConfig

    from raytune_playbook.engine.watcher import WorkerConfig
    from raytune_playbook.engine.worker import run_worker

    config = WorkerConfig(host=host, pool=pool, generation=fit.generation, resources=resources)
    try:
        trainer = TorchTrainer(
            run_worker,
            train_loop_config=dict(vars(config)),
            torch_config=TorchConfig(timeout_s=max(1, round(resources.collective_timeout_s))),
            scaling_config=ScalingConfig(
                num_workers=resources.num_workers,
                use_gpu=resources.gpus_per_worker > 0,
                resources_per_worker=bundle(resources),
                placement_strategy="PACK" if resources.placement == "packed" else "SPREAD",
                label_selector=resources.node_labels or None,
            ),
            run_config=RunConfig(
                name=f"{name}-{fit.generation}",
                storage_path=scratch,
                failure_config=FailureConfig(max_failures=0),
            ),
        )
        trainer.fit()
    except Exception as error:  # noqa: BLE001 - Train, its controller or a worker; all mean that the gang is gone
        fit.error = str(error).strip() or type(error).__name__
    fit.ended.set()
