"""Up to which learning rate is a transformer without normalization stable, and what mends that?

Command:   raytune-playbook run jobs/text_stability.py && raytune-playbook stability text_stability
Machine:   2 CPU cores, no GPU
Duration:  TODO
Expected:  TODO
"""

from raytune_playbook import Budget, Float, Objective, Resources, Round
from raytune_playbook.workloads.text import StandardLibraryText

round = Round(
    name="text_stability",
    goal="Up to which learning rate does a transformer without normalization train, and how well?",
    workload=StandardLibraryText(),
    nuisance={"learning_rate": Float(0.01, 1.0, scale="log")},
    # Residual branches without normalization let the activations grow, which a large learning rate does not survive.
    fixed={
        "optimizer": "momentum",
        "normalization": "none",
        "width": 32,
        "heads": 2,
        "depth": 4,
        "context": 32,
        "batch_size": 4,
    },
    objective=Objective(metric="bits_per_byte", split="validation"),
    budget=Budget(num_trials=12, max_train_steps=300, evaluation_interval_steps=50),
    resources=Resources(num_workers=1),
    seed=0,
)
