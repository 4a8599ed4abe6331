"""Does normalization (none, batch, layer) change the validation loss of a multilayer perceptron on breast cancer?

Command:   raytune-playbook run jobs/cancer_normalization.py
Machine:   2 CPU cores, no GPU
Duration:  50 s
Expected:  best validation loss 0.049 without normalization, 0.067 with layer and 0.077 with batch norm; on 122 examples
           that is no difference to rely on
"""

from raytune_playbook import Budget, Categorical, Float, Objective, Resources, Round
from raytune_playbook.workloads.tabular import BreastCancer

round = Round(
    name="cancer_normalization",
    goal="Does normalization (none, batch, layer) change the validation loss?",
    workload=BreastCancer(),
    scientific={"normalization": Categorical(["none", "batch", "layer"])},
    nuisance={
        "learning_rate": Float(0.003, 0.3, scale="log"),
        "momentum": Float(0.5, 0.99, scale="log_one_minus"),
        "weight_decay": Float(1e-5, 1e-1, scale="log"),
        "label_smoothing": Float(0.0, 0.2),
    },
    fixed={"schedule": "cosine"},
    # On 122 validation examples the loss tells more than the error.
    objective=Objective(metric="loss", split="validation"),
    budget=Budget(num_trials=30, max_train_steps=200, evaluation_interval_steps=20),
    resources=Resources(num_workers=1),
    seed=0,
)
