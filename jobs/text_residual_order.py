"""Does x + Norm(f(x)) or x + f(Norm(x)) predict program text better?

Command:   raytune-playbook run jobs/text_residual_order.py
Machine:   2 CPU cores, no GPU
Duration:  2 min 30 s
Expected:  after these 200 steps 3.76 bits per byte with the normalization first and 3.79 with it last, which is no
           difference to rely on; more steps go on lowering both
"""

from raytune_playbook import Budget, Categorical, Float, Objective, Resources, Round
from raytune_playbook.workloads.text import StandardLibraryText

round = Round(
    name="text_residual_order",
    goal="Does x + Norm(f(x)) or x + f(Norm(x)) predict program text better?",
    workload=StandardLibraryText(),
    scientific={"residual_order": Categorical(["norm_last", "norm_first"])},
    nuisance={"learning_rate": Float(1e-3, 2e-2, scale="log")},
    fixed={"schedule": "cosine", "warmup_steps": 20, "clipping_norm": 1.0},
    objective=Objective(metric="bits_per_byte", split="validation"),
    budget=Budget(num_trials=8, max_train_steps=200, evaluation_interval_steps=100),
    resources=Resources(num_workers=1),
    seed=0,
)
