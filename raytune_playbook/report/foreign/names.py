"""What the names of metrics tell: which split they are measured on, and whether small values are good."""

from __future__ import annotations

import re
from collections.abc import Collection

from raytune_playbook.analysis.series.curves import Evaluation
from raytune_playbook.study.settings import Goal

_SPLITS = {
    "validation": ("validation", "valid", "val", "eval", "dev"),
    "train": ("training", "train"),
}
_PREFIX = {
    split: re.compile(rf"(?:{'|'.join(words)})[_/.\- ]+(?=.)", re.IGNORECASE) for split, words in _SPLITS.items()
}

_SMALL = {"loss", "error", "err", "rmse", "mse", "mae", "mape", "nll", "perplexity", "ppl", "regret", "wer", "cer"}
_LARGE = {"accuracy", "acc", "auc", "auroc", "f1", "bleu", "rouge", "iou", "reward", "r2"}
_TIMES = {"runtime", "duration", "elapsed"}
_UNITS = {"s", "sec", "seconds", "ms"}


def evaluations_of(metrics: Collection[str]) -> dict[str, Evaluation]:
    """By name of a metric what it measures: ``val_loss`` is the loss on the validation split, ``train_loss`` on train.

    A metric without such a word is taken to be of the validation split, unless the same is there with the word, as in
    Keras' ``loss`` beside ``val_loss``: then it is of training.
    """
    found = {name: _by_word(name) for name in metrics}
    named = {evaluation for evaluation in found.values() if evaluation is not None}
    result: dict[str, Evaluation] = {}
    for name, evaluation in found.items():
        other = Evaluation("validation", name)
        result[name] = evaluation or (Evaluation("train", name) if other in named else other)
    # Two names of one thing, such as val_loss beside validation/loss, stay apart under their whole names.
    taken = list(result.values())
    return {
        name: evaluation if taken.count(evaluation) == 1 else Evaluation(evaluation.split, name)
        for name, evaluation in result.items()
    }


def _by_word(name: str) -> Evaluation | None:
    for split, prefix in _PREFIX.items():
        if found := prefix.match(name):
            return Evaluation(split, name[found.end() :])
    return None


def usual_goal(metric: str) -> Goal | None:
    """Whether small or large values of a metric are good, where its name leaves no doubt."""
    word = _last_word(metric)
    return "minimize" if word in _SMALL else "maximize" if word in _LARGE else None


def is_called_as_result(column: str) -> bool:
    """Whether a column is called as what a training comes to, and not as what it was given."""
    return _last_word(column) in _SMALL | _LARGE | _TIMES


def is_of_test_set(metric: str) -> bool:
    """Whether a metric is called as one of the test set."""
    return "test" in re.split(r"[_/.\- ]+", metric.lower())


def _last_word(name: str) -> str:
    words = [word for word in re.split(r"[_/.\- ]+", name.lower()) if word and word not in _UNITS]
    return words[-1] if words else ""
