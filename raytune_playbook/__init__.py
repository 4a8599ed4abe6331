"""Tune deep networks on a Ray cluster the way the Deep Learning Tuning Playbook says to.

A `Round` says what to ask, `run` asks it, and the `Result` says what was learned. Names that need ray or torch
are imported when they are first used, as are those that few need, so that importing the package is quick and needs
neither.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from raytune_playbook.errors import Infeasible, InputError, PlaybookError, RunError
from raytune_playbook.study.datasets import Files, InputPipeline, Split
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Int
from raytune_playbook.study.round import Round
from raytune_playbook.study.settings import Budget, Objective, Resources

if TYPE_CHECKING:
    from raytune_playbook.engine.doctor.doctor import doctor
    from raytune_playbook.engine.rounds.result import Result
    from raytune_playbook.engine.rounds.run import run
    from raytune_playbook.engine.session import Gangs
    from raytune_playbook.engine.trained.load import load_model
    from raytune_playbook.engine.trained.predict import predict
    from raytune_playbook.engine.trained.score import score
    from raytune_playbook.procedures.advise.advise import advise
    from raytune_playbook.procedures.batch_size.batch_size import batch_size
    from raytune_playbook.procedures.check_initial.check_initial import check_initial
    from raytune_playbook.procedures.exploit.exploit import exploit
    from raytune_playbook.procedures.launch.launch import launch
    from raytune_playbook.procedures.lengthen.lengthen import lengthen
    from raytune_playbook.procedures.new.new import new
    from raytune_playbook.procedures.propose.propose import propose
    from raytune_playbook.procedures.stability.stability import stability
    from raytune_playbook.procedures.test_set.test import test
    from raytune_playbook.procedures.train_steps.train_steps import train_steps
    from raytune_playbook.procedures.variance.variance import variance
    from raytune_playbook.report.foreign.read import read_optuna, read_ray_tune, read_table
    from raytune_playbook.searchers.bayesian_search import BayesianSearch
    from raytune_playbook.searchers.halton_search import HaltonSearch
    from raytune_playbook.train.workload import Batch, Values, Workload

__all__ = [
    "Batch",
    "BayesianSearch",
    "Budget",
    "Categorical",
    "Discrete",
    "Files",
    "Float",
    "Gangs",
    "HaltonSearch",
    "Infeasible",
    "InputError",
    "InputPipeline",
    "Int",
    "Objective",
    "PlaybookError",
    "Resources",
    "Result",
    "Round",
    "RunError",
    "Split",
    "Values",
    "Workload",
    "advise",
    "batch_size",
    "check_initial",
    "doctor",
    "exploit",
    "launch",
    "lengthen",
    "load_model",
    "new",
    "predict",
    "propose",
    "read_optuna",
    "read_ray_tune",
    "read_table",
    "run",
    "score",
    "stability",
    "test",
    "train_steps",
    "variance",
]

_LATER = {
    "Batch": "raytune_playbook.train.workload",
    "BayesianSearch": "raytune_playbook.searchers.bayesian_search",
    "Gangs": "raytune_playbook.engine.session",
    "HaltonSearch": "raytune_playbook.searchers.halton_search",
    "Result": "raytune_playbook.engine.rounds.result",
    "Values": "raytune_playbook.train.workload",
    "Workload": "raytune_playbook.train.workload",
    "check_initial": "raytune_playbook.procedures.check_initial.check_initial",
    "advise": "raytune_playbook.procedures.advise.advise",
    "batch_size": "raytune_playbook.procedures.batch_size.batch_size",
    "doctor": "raytune_playbook.engine.doctor.doctor",
    "exploit": "raytune_playbook.procedures.exploit.exploit",
    "lengthen": "raytune_playbook.procedures.lengthen.lengthen",
    "launch": "raytune_playbook.procedures.launch.launch",
    "load_model": "raytune_playbook.engine.trained.load",
    "new": "raytune_playbook.procedures.new.new",
    "predict": "raytune_playbook.engine.trained.predict",
    "propose": "raytune_playbook.procedures.propose.propose",
    "read_optuna": "raytune_playbook.report.foreign.read",
    "read_ray_tune": "raytune_playbook.report.foreign.read",
    "read_table": "raytune_playbook.report.foreign.read",
    "run": "raytune_playbook.engine.rounds.run",
    "score": "raytune_playbook.engine.trained.score",
    "stability": "raytune_playbook.procedures.stability.stability",
    "test": "raytune_playbook.procedures.test_set.test",
    "variance": "raytune_playbook.procedures.variance.variance",
    "train_steps": "raytune_playbook.procedures.train_steps.train_steps",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_LATER[name]), name)
    globals()[name] = value
    return value


def _be_quiet_in_notebooks() -> None:
    """Ray asks there for widgets that it would never show."""
    import logging
    import sys
    import warnings

    if "ipykernel" in sys.modules:
        logging.getLogger("ray.widgets.util").setLevel(logging.WARNING)
        warnings.filterwarnings("ignore", message="IProgress not found")


_be_quiet_in_notebooks()
