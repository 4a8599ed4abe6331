"""The round that is disturbed: 40 trials of the bundled digits network, in two arms.

Command:   python -m tests.soak.kills
Machine:   2 CPU cores, no GPU
Duration:  about 5 minutes undisturbed, on two gangs
Expected:  with kills the same results, to the bit
"""

import os
import time

from torch import Tensor, nn

from raytune_playbook import Batch, Budget, Categorical, Float, Objective, Resources, Round, Values
from raytune_playbook.workloads.digits import DigitsResNet

NUM_TRIALS = int(os.environ.get("SOAK_TRIALS", "40"))
STEPS, INTERVAL_STEPS = 120, 3
STEP_SLEEP_S = float(os.environ.get("SOAK_STEP_SLEEP_S", "0"))


class SlowDigits(DigitsResNet):
    """Digits whose training steps leave time to be disturbed in, also where cores are idle."""

    def loss(self, model: nn.Module, batch: Batch, values: Values) -> Tensor:
        if model.training:
            time.sleep(STEP_SLEEP_S)
        return super().loss(model, batch, values)


round = Round(
    name="disturbed",
    goal="Do results survive what clusters do?",
    workload=SlowDigits(),
    scientific={"batch_norm": Categorical(["device", "sync"])},
    nuisance={"learning_rate": Float(0.003, 0.1, scale="log"), "dropout": Float(0.0, 0.3)},
    fixed={"batch_size": 32, "width": 8, "schedule": "cosine", "shift_pixels": 1},
    objective=Objective(metric="error"),
    budget=Budget(num_trials=NUM_TRIALS, max_train_steps=STEPS, evaluation_interval_steps=INTERVAL_STEPS),
    resources=Resources(num_workers=2, cpus_per_worker=1, num_gangs=2, collective_timeout_s=8, start_timeout_s=90),
)
