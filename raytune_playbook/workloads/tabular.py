"""Tables of numbers with a multilayer perceptron: breast cancer (two classes) and diabetes (a number).

Data: scikit-learn's, split by a hash of each row into about 60% training, 20% validation and 20% test, and standardized
with the means and standard deviations of the training split alone. Default configurations: momentum 0.9, learning rate
0.01, 200 steps of 32, one second on a core; three seeds gave a best validation error of 2.5, 2.5 and 3.3% (loss 0.06 to
0.08) on breast cancer, and a best validation loss of 0.55 to 0.59 on diabetes, where guessing the mean costs about 1.
``raytune-playbook run jobs/cancer_normalization.py`` tunes the former.

Shapes: B batch, D features, W width; rows are (B, D).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.metrics import average_precision_score
from torch import Tensor, nn

from raytune_playbook.errors import SpecError
from raytune_playbook.study.frozen import Value
from raytune_playbook.train.workload import Batch, Columns, Values, Workload
from raytune_playbook.workloads.layers import activation, feature_norm
from raytune_playbook.workloads.splits import SPLITS, is_kept, split_of

NORMALIZATIONS = ("none", "batch", "layer")
MALIGNANT = 1

Floats = npt.NDArray[np.float64]

MLP_DEFAULTS: dict[str, Value] = {
    "learning_rate": 0.01,
    "batch_size": 32,
    "width": 32,
    "depth": 2,  # hidden layers
    "activation": "relu",  # relu, gelu, silu or tanh
    "normalization": "batch",  # none, batch or layer
    "dropout": 0.0,
}


class BreastCancer(Workload):
    """Is a tumour malignant (1) or benign (0)? 569 rows of 30 measurements of its cells.

    Args:
        malignant_kept: the share of malignant rows that stay in the data, in every split; 1 for all, which are 37% of
            the rows, and 0.2 for an imbalanced task, where they are 11%.
    """

    def __init__(self, malignant_kept: float = 1.0) -> None:
        if not 0 < malignant_kept <= 1:
            raise SpecError(
                f"malignant_kept: 0 < malignant_kept <= 1 must hold, but got {malignant_kept}; use 1 for all."
            )
        self.malignant_kept = malignant_kept

    def defaults(self) -> Mapping[str, Value]:
        return MLP_DEFAULTS | {"label_smoothing": 0.0}

    def datasets(self) -> Mapping[str, Columns]:
        table = load_breast_cancer()
        label = np.where(table.target == list(table.target_names).index("malignant"), MALIGNANT, 1 - MALIGNANT)
        kept = np.array([is_kept(row.tobytes(), self.malignant_kept) for row in table.data]) | (label != MALIGNANT)
        label = label[kept].astype(np.int64)
        rows, split = standardized(table.data[kept])
        datasets: dict[str, Columns] = {
            name: {"row": rows[split == name], "label": label[split == name]} for name in SPLITS
        }
        if not all(columns["label"].any() for columns in datasets.values()):
            raise SpecError(
                f"malignant_kept: every split must keep malignant rows, but {self.malignant_kept} leaves one of them "
                "without; keep more."
            )
        return datasets

    def model(self, values: Values) -> nn.Module:
        return MLP(values, num_features=30, num_outputs=2)

    def loss(self, model: nn.Module, batch: Batch, values: Values) -> Tensor:
        smoothing = values.strength("label_smoothing") if model.training else 0.0
        return F.cross_entropy(model(batch["row"]), batch["label"], reduction="none", label_smoothing=smoothing)

    def metrics(self, model: nn.Module, batch: Batch, values: Values) -> Mapping[str, Tensor]:
        logits, labels = model(batch["row"]), batch["label"]
        return {
            "loss": F.cross_entropy(logits, labels, reduction="none"),
            "error": (logits.argmax(1) != labels).float(),
        }

    def predictions(self, model: nn.Module, batch: Batch, values: Values) -> Mapping[str, Tensor]:
        logits = model(batch["row"])
        return {"label": logits.argmax(1), "malignant": logits.softmax(1)[:, MALIGNANT]}

    def classes(self) -> Mapping[int, str]:
        return {MALIGNANT: "malignant"}

    def set_metrics(self, predictions: Columns, labels: npt.NDArray[np.generic]) -> Mapping[str, float]:
        """Average precision of finding the malignant: 1 is perfect, their share is chance."""
        probabilities = predictions["malignant"]
        if not np.isfinite(probabilities).all():  # of weights that have overflown there is no ranking
            return {"average_precision": float("nan")}
        return {"average_precision": average_precision_score(labels == MALIGNANT, probabilities)}


class Diabetes(Workload):
    """How far has diabetes progressed a year later? 442 rows of 10 measurements of a patient.

    The target is standardized like the features: a loss of 1 is that of guessing the training mean, and the error is
    the absolute one, in standard deviations of the training targets.
    """

    label_column = "target"

    def defaults(self) -> Mapping[str, Value]:
        return MLP_DEFAULTS

    def datasets(self) -> Mapping[str, Columns]:
        table = load_diabetes(scaled=False)
        numbers, split = standardized(np.column_stack([table.data, table.target]))
        return {name: {"row": numbers[split == name, :-1], "target": numbers[split == name, -1]} for name in SPLITS}

    def model(self, values: Values) -> nn.Module:
        return MLP(values, num_features=10, num_outputs=1)

    def loss(self, model: nn.Module, batch: Batch, values: Values) -> Tensor:
        return (_predicted(model, batch) - batch["target"]).square()

    def metrics(self, model: nn.Module, batch: Batch, values: Values) -> Mapping[str, Tensor]:
        difference = _predicted(model, batch) - batch["target"]
        return {"loss": difference.square(), "error": difference.abs()}

    def predictions(self, model: nn.Module, batch: Batch, values: Values) -> Mapping[str, Tensor]:
        return {"target": _predicted(model, batch)}


def _predicted(model: nn.Module, batch: Batch) -> Tensor:
    outputs: Tensor = model(batch["row"])
    return outputs[:, 0]


def standardized(table: Floats) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.str_]]:
    """Numbers (num_rows, num_columns) of mean 0 and variance 1 on the training rows, and each row's split."""
    split = np.array([split_of(row.tobytes()) for row in table])
    train = table[split == "train"]
    return ((table - train.mean(0)) / train.std(0)).astype(np.float32), split


class MLP(nn.Module):
    """Rows (B, D) through ``depth`` hidden layers of ``width`` to outputs (B, num_outputs).

    Raises:
        SpecError: a value of a wrong type, or none of its choices.
    """

    def __init__(self, values: Values, *, num_features: int, num_outputs: int) -> None:
        super().__init__()
        width, normalization = values.integer("width"), values.choice("normalization", NORMALIZATIONS)
        self.hidden = nn.Sequential()
        for i in range(values.integer("depth")):
            self.hidden.append(
                nn.Sequential(
                    # A bias only where no normalization has one.
                    nn.Linear(width if i else num_features, width, bias=normalization == "none"),
                    feature_norm(normalization, width),
                    activation(values),
                    nn.Dropout(values.strength("dropout")),
                )
            )
        self.head = nn.Linear(width if self.hidden else num_features, num_outputs)

    def forward(self, rows: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.hidden(rows))
        return outputs
