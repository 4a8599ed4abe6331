"""Does the kind of batch norm statistics change the validation error on handwritten digits?

Command:   raytune-playbook run jobs/digits_batch_norm.py
Machine:   2 CPU cores, no GPU
Duration:  about 2 minutes after installation
Expected:  the best trial of each kind reaches 1 to 2.5% validation error; the kinds differ by less than retraining does
"""

from raytune_playbook import Budget, Categorical, Float, Objective, Resources, Round
from raytune_playbook.workloads.digits import DigitsResNet

round = Round(
    name="digits_batch_norm",
    goal="Does the kind of batch norm statistics (per device, synchronized, ghost) change the validation error?",
    workload=DigitsResNet(),
    scientific={"batch_norm": Categorical(["device", "sync", "ghost"])},
    nuisance={
        "learning_rate": Float(0.003, 0.3, scale="log"),
        "momentum": Float(0.5, 0.99, scale="log_one_minus"),
        "weight_decay": Float(1e-5, 1e-2, scale="log"),
    },
    # Two workers hold 64 examples each; ghost batches of 32 normalize half of that.
    fixed={"batch_size": 128, "virtual_batch_size": 32, "schedule": "cosine"},
    objective=Objective(metric="error", split="validation"),
    budget=Budget(num_trials=24, max_train_steps=200, evaluation_interval_steps=25),
    resources=Resources(num_workers=2, cpus_per_worker=0.5),
    seed=0,
)
