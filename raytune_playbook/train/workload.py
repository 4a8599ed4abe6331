"""What a user implements: the protocol between a workload and everything else.

A workload says which hyperparameters there are, where the examples come from, what the model is, and what each example
costs. Everything else (optimizer, schedule, batches, gradients, evaluation, records) is done for it.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from torch import Tensor, nn

from raytune_playbook.errors import SpecError
from raytune_playbook.study.closest import did_you_mean
from raytune_playbook.study.datasets import Columns as Columns
from raytune_playbook.study.datasets import Files, Split
from raytune_playbook.study.fingerprints import source_hash
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.study import WorkloadSpec
from raytune_playbook.train.training_code import cell_of, training_code, training_code_of_cell

Batch: TypeAlias = Mapping[str, Tensor]
"""One worker's part of a batch by column; every tensor has the shape (batch, ...)."""


class RayDataset(Protocol):
    """What is asked of a Ray Dataset here, where Ray is not known: that it has a schema and is read in batches."""

    def schema(self) -> object:
        """Names and types of its columns."""

    def iter_batches(self) -> Iterable[object]:
        """Its examples, in batches."""


Source: TypeAlias = Columns | pa.Table | str | Path | Files | RayDataset
"""Where examples come from: arrays by column, an Arrow table, `Files`, their path or URI, or a Ray Dataset."""

TRAINING_DEFAULTS: dict[str, Value] = {
    "optimizer": "momentum",  # one of `study.hyperparameters.known.OPTIMIZERS`
    "learning_rate": 0.1,  # the base learning rate of the schedule
    "momentum": 0.9,  # of momentum, nesterov and RMSProp
    "beta1": 0.9,
    "beta2": 0.999,
    "epsilon": 1e-8,
    "rho": 0.9,  # of RMSProp: decay of the mean of squared gradients
    "momentum_decay": 4e-3,  # of torch_nadam
    "weight_decay": 0.0,
    "weight_decay_kind": "coupled",  # added to the gradient; decoupled: taken from the weights
    "schedule": "constant",  # constant, linear or cosine (rule ST6: constant in a first configuration)
    "decay_steps": None,  # of a linear or cosine schedule, before which it is constant; None for all steps
    "final_factor": 0.0,  # learning rate at the end of a decay, as a share of the base
    "warmup_steps": 0,  # prepended; max_train_steps does not count them
    "clipping_norm": None,  # global norm above which gradients are scaled down; None for never
    "averaging": "none",  # of the weights: none, exponential or uniform (rule SC3)
    "averaging_decay": 0.999,  # of the exponential average
    "averaging_start_step": 0,  # the weights after this many steps, warmup included, are not averaged yet
    "data_augmentation": True,  # whether training batches go through `Workload.augment`
    "batch_size": 64,  # of all workers together
    "evaluation_batch_size": None,  # of all workers together; None for one that suits (rule EV1)
    "evaluation_sample": None,  # validation examples that periodic evaluation scores; None for all (rule EV5)
    "batch_norm": "device",  # statistics: device, sync or ghost (rule BN1)
    "virtual_batch_size": 64,  # of ghost batch norm (rule BN4)
    "precision": "float32",  # or bfloat16, by torch's autocast
    "compile": False,  # the model, by torch.compile
    "data_split": 0,  # which division of a `Split` into train and validation; others show data sampling variance
}
"""The hyperparameters of the training loop, which every workload has; a workload may change a default."""


class UnknownHyperparameterError(SpecError, KeyError):
    """A workload asks for a hyperparameter that there is not; a `KeyError` too, as mappings promise."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        hint = did_you_mean(name, known, f"there are {', '.join(sorted(known))}; add it to Workload.defaults.")
        super().__init__(f"Values: the workload asks for {name!r}, which is no hyperparameter of the trial; {hint}")

    def __str__(self) -> str:
        return str(self.args[0])  # a `KeyError` would put it into quotes


class _Getters(Mapping[str, Value]):
    """What `Values` can do."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = dict(values)
        self._read: set[str] = set()

    @property
    def read(self) -> frozenset[str]:
        """The names whose values were asked for so far, by whatever way: nothing can depend on the others."""
        return frozenset(self._read)

    def unused(self) -> Self:
        """The same values for a look that notes nothing, such as whether one that has no use here could be used."""
        return type(self)(self._values)

    def __getitem__(self, name: str) -> Value:
        try:
            value = self._values[name]
        except KeyError:
            raise UnknownHyperparameterError(name, self._values) from None
        self._read.add(name)
        return value

    def __copy__(self) -> Self:  # nothing of it can be changed
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[type[Self], tuple[dict[str, Value]]]:
        self._read.update(self._values)  # in another process nobody sees what is read
        return type(self), (self._values,)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def number(self, name: str) -> float:
        """The value as a number."""
        value = self[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SpecError(f"{name} must be a number, but got {value!r}; give one.")
        return float(value)

    def optional_number(self, name: str) -> float | None:
        """The value as a number, or None."""
        return None if self[name] is None else self.number(name)

    def strength(self, name: str) -> float:
        """A regularizer's strength as a number: 0 where it does not exist beside the scientific values (rule SD5)."""
        return 0.0 if self[name] is None else self.number(name)

    def integer(self, name: str) -> int:
        """The value as a whole number."""
        value = self[name]
        if isinstance(value, bool) or not isinstance(value, int):
            raise SpecError(f"{name} must be a whole number, but got {value!r}; give one.")
        return value

    def text(self, name: str) -> str:
        """The value as text."""
        value = self[name]
        if not isinstance(value, str):
            raise SpecError(f"{name} must be text, but got {value!r}; give a name in quotes.")
        return value

    def flag(self, name: str) -> bool:
        """The value as true or false."""
        value = self[name]
        if not isinstance(value, bool):
            raise SpecError(f"{name} must be True or False, but got {value!r}; give one of them.")
        return value

    def choice(self, name: str, choices: Iterable[str]) -> str:
        """The value as one of a few names."""
        value = self[name]
        if not isinstance(value, str) or value not in choices:
            raise SpecError(f"{name} must be one of {', '.join(choices)}, but got {value!r}; choose one of them.")
        return value


class Values(_Getters):
    """A trial's hyperparameter values; the typed getters answer a value of a wrong type with one sentence.

    Which of them are read is noted: a round in which one varies that nothing reads is refused.
    """

    # What the getters were called before, for workloads that call them so. In a class of their own, lest these names
    # hide the built-in types from the getters.
    float = _Getters.number
    optional_float = _Getters.optional_number
    int = _Getters.integer
    str = _Getters.text
    bool = _Getters.flag


class Workload(ABC):
    """Subclass this to tune a model of your own; the README shows a whole one.

    An object of it is pickled and sent to the workers, so it holds settings, not data or models.
    """

    def defaults(self) -> Mapping[str, Value]:
        """Default values of the model's own hyperparameters, and of those of the loop that should differ from
        `TRAINING_DEFAULTS`."""
        return {}

    @abstractmethod
    def datasets(self) -> Mapping[str, Source] | Split:
        """The examples of ``train`` and ``validation``, and of ``test`` where there is one (never trained or judged on
        in a round); or a `Split`, which divides one source.

        Called once per round, not once per trial.
        """

    def preprocess(self, columns: Columns) -> Columns:
        """A batch of examples as they are read, made into what the model takes: numbers, each column of one shape.

        What becomes of an example must not depend on the others in its batch, whose size is up to whoever reads them:
        means to standardize by, or a length to pad to, are constants of the workload.
        Called by Ray Data in parallel tasks, before any training; the same for every trial, so nothing random. What is
        random belongs into `augment`. Examples may be left out only where they are read into memory as a whole, and
        not where they are streamed, or divided by a `Split`.
        """
        return columns

    def preprocesses(self) -> bool:
        """Whether there is a `preprocess` of the workload's own."""
        return type(self).preprocess is not Workload.preprocess

    @abstractmethod
    def model(self, values: Values) -> nn.Module:
        """A new model; all randomness from torch's global generator, whose seed is the same on all workers."""

    def augment(self, batch: Batch, values: Values) -> Batch:
        """A training batch changed at random (rule ST7); randomness from torch's global generator, which has the
        worker's own seed of the step here. Never called in an evaluation."""
        return batch

    def augments(self, values: Values) -> bool:
        """Whether training batches go through an `augment` of its own: not where ``data_augmentation`` is False."""
        return type(self).augment is not Workload.augment and values.get("data_augmentation") is not False

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch, values: Values) -> Tensor:
        """What training minimizes: one loss per example, of shape (batch,)."""

    def metrics(self, model: nn.Module, batch: Batch, values: Values) -> Mapping[str, Tensor]:
        """What evaluations report: one value per example for each metric, of shape (batch,), to be averaged.

        The metric of a round's objective is there from the first evaluation on, as NaN while it has no value yet.
        """
        return {"loss": self.loss(model, batch, values)}

    # ------------------------------------------------------------------ what evaluations report beyond means

    label_column: str = "label"
    """The column that holds an example's class, and the name of the predicted one among `predictions`."""

    def predictions(self, model: nn.Module, batch: Batch, values: Values) -> Mapping[str, Tensor]:
        """What the model says of each example, such as a class and a probability; of shape (batch, ...) each.

        Saved for a few examples at every evaluation (rule EV4). They are asked for all examples, by a forward pass
        beside that of `metrics`, only where there are `classes` or `set_metrics`. A workload without any predicts, when
        it is asked to by ``raytune-playbook predict``, what its model returns where `loss` calls it.
        """
        return {}

    def has_predictions(self) -> bool:
        """Whether there are `predictions` of the workload's own."""
        return type(self).predictions is not Workload.predictions

    def classes(self) -> Mapping[int, str]:
        """The classes, rare ones above all, whose correct predictions are counted at every evaluation, with their
        names (rule EV6)."""
        return {}

    def set_metrics(self, predictions: Columns, labels: npt.NDArray[np.generic]) -> Mapping[str, float]:
        """Metrics that are no means over examples, such as average precision (rule EV8).

        Args:
            predictions: of all examples of a split in the order of the data set, whatever the number of workers.
            labels: their `label_column`.
        """
        return {}

    def needs_all_predictions(self) -> bool:
        """Whether evaluation takes the predictions of every example, and not of the chosen ones alone."""
        return bool(self.classes()) or self.has_set_metrics()

    def has_set_metrics(self) -> bool:
        """Whether there are `set_metrics`, for which the predictions of all workers are gathered."""
        return type(self).set_metrics is not Workload.set_metrics

    def chosen_examples(self) -> Sequence[int] | None:
        """Rows of the validation examples whose predictions are saved; None for a seeded choice of a few."""
        return None

    def infeasible(self, values: Values) -> str | None:
        """Why this point cannot be trained, or None: a constraint that the search space does not know of (rule IN3)."""
        return None

    def hyperparameters(self) -> dict[str, Value]:
        """Every hyperparameter with its default value: the loop's and the model's own."""
        return TRAINING_DEFAULTS | dict(self.defaults())

    def spec(self) -> WorkloadSpec:
        """Which workload this is, for the records."""
        cls = type(self)
        settings = {
            name: value
            for name, value in vars(self).items()
            if not name.startswith("_") and isinstance(value, bool | int | float | str | None)
        }
        source, code = _source_of(cls)
        return WorkloadSpec(
            module=cls.__module__,
            name=cls.__qualname__,
            settings=settings,
            source_hash=source_hash(source),
            code_hash=source_hash(code),
        )


def _source_of(cls: type[Workload]) -> tuple[bytes, bytes]:
    """The file, or a notebook's cell, that defines a workload, and what of it trains."""
    try:
        path = Path(inspect.getfile(cls)).resolve()
        source = path.read_bytes()
    except (OSError, TypeError):  # defined in a notebook or a shell
        path, source = None, cell_of(cls).encode()
    try:
        name = cls.__qualname__
        code = training_code_of_cell(source, name) if path is None else training_code(path, name)
    except SyntaxError:  # edited since it was loaded
        return source, source
    return source, code.encode()
