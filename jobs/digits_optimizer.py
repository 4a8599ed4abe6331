"""Does Nesterov momentum or Adam reach a lower validation error on handwritten digits, each with its own tuning?

Command:   raytune-playbook run jobs/digits_optimizer.py
Machine:   2 CPU cores, no GPU
Duration:  about 2 minutes after installation
Expected:  Adam reaches 0.9% validation error and Nesterov momentum 1.4%, which on 352 examples is no difference to rely
           on; Nesterov's larger learning rates are unstable without warmup, Adam's are not
"""

from raytune_playbook import Budget, Categorical, Float, Objective, Resources, Round
from raytune_playbook.workloads.digits import DigitsResNet

NESTEROV, ADAM = {"optimizer": "nesterov"}, {"optimizer": "adam"}

round = Round(
    name="digits_optimizer",
    goal="Does Nesterov momentum or Adam reach a lower validation error, each with its own tuning?",
    workload=DigitsResNet(),
    scientific={"optimizer": Categorical(["nesterov", "adam"])},
    # Each exists under one optimizer only: that two of them are called learning_rate does not make them one.
    nuisance={
        "nesterov.learning_rate": Float(0.003, 0.3, scale="log", when=NESTEROV),
        "momentum": Float(0.5, 0.99, scale="log_one_minus", when=NESTEROV),
        "adam.learning_rate": Float(3e-4, 3e-2, scale="log", when=ADAM),
        "beta1": Float(0.5, 0.99, scale="log_one_minus", when=ADAM),
    },
    fixed={"schedule": "cosine"},
    objective=Objective(metric="error", split="validation"),
    budget=Budget(num_trials=24, max_train_steps=200, evaluation_interval_steps=25),
    resources=Resources(num_workers=1),
    seed=0,
)
