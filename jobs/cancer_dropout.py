"""Does dropout lower the validation loss of a multilayer perceptron on breast cancer?

Command:   raytune-playbook run jobs/cancer_dropout.py
Machine:   2 CPU cores, no GPU
Duration:  40 s
Expected:  best validation loss 0.040 with dropout and 0.044 without; on 122 examples that is no difference to rely on
"""

from raytune_playbook import Budget, Categorical, Float, Objective, Resources, Round
from raytune_playbook.workloads.tabular import BreastCancer


class WithOrWithoutDropout(BreastCancer):
    """Whether to regularize is a question of its own, and a hyperparameter: how strongly is tuned where one does."""

    def defaults(self):
        return {**super().defaults(), "regularizer": "none"}  # none or dropout

    def model(self, values):
        values.choice("regularizer", ("none", "dropout"))  # dropout does not exist beside "none", and is then absent
        return super().model(values)


round = Round(
    name="cancer_dropout",
    goal="Does dropout lower the validation loss?",
    workload=WithOrWithoutDropout(),
    scientific={"regularizer": Categorical(["none", "dropout"])},
    nuisance={
        "learning_rate": Float(0.003, 0.3, scale="log"),
        "momentum": Float(0.5, 0.99, scale="log_one_minus"),
        "dropout": Float(0.05, 0.7, when={"regularizer": "dropout"}),
    },
    fixed={"schedule": "cosine", "normalization": "none"},
    # On 122 validation examples the loss tells more than the error.
    objective=Objective(metric="loss", split="validation"),
    budget=Budget(num_trials=32, max_train_steps=200, evaluation_interval_steps=20),
    resources=Resources(num_workers=1),
    seed=0,
)
