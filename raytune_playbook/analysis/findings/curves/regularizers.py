"""What the next study can regularize by: what the playbook names and the workload has."""

from __future__ import annotations

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.changes import SearchOver
from raytune_playbook.analysis.findings.curves.looked_at import is_fixed
from raytune_playbook.analysis.findings.finding import Proposal
from raytune_playbook.study.hyperparameters.hyperparameter import Float, Hyperparameter
from raytune_playbook.study.hyperparameters.known import purpose_of, usual_name
from raytune_playbook.study.wording import value_text

REGULARIZERS: dict[str, Float] = {
    "weight_decay": Float(1e-5, 1e-1, scale="log"),
    "dropout": Float(0.0, 0.5),
    "label_smoothing": Float(0.0, 0.2),
}
"""With ranges to begin with."""

MOST_ADDED = 2
"""Each more would need more trials to be tuned."""

_MOST = {"weight_decay": 1.0, "dropout": 0.9, "label_smoothing": 0.9}
"""The strongest that is worth searching: beyond it nothing is learned."""


def more_regularization(evidence: Evidence) -> Proposal:
    """Regularizers that are not searched yet, else stronger ones of those that are, else advice."""
    added = [SearchOver(name, range_) for name, range_ in REGULARIZERS.items() if is_fixed(evidence, name)][:MOST_ADDED]
    if added:
        texts = [f"{change.name} from {_range_text(REGULARIZERS[change.name])}" for change in added]
        return Proposal(f"Search {' and '.join(texts)}, and compare again.", tuple(added))
    widened = [SearchOver(name, range_) for name, range_ in _stronger(evidence).items()]
    if widened:
        names = " and ".join(
            f"{change.name} up to {value_text(change.hyperparameter.high)}"
            for change in widened
            if isinstance(change.hyperparameter, Float)
        )
        return Proposal(f"Search stronger regularization: {names}.", tuple(widened))
    return Proposal(
        "Add another regularizer to the training (dropout, label smoothing, weight decay, data augmentation), and "
        "search over it."
    )


def _range_text(range_: Float) -> str:
    return f"{value_text(range_.low)} to {value_text(range_.high)}"


def _stronger(evidence: Evidence) -> dict[str, Hyperparameter]:
    """The searched regularizers with a wider range upwards, where all studies search them alike."""
    found: dict[str, Hyperparameter] = {}
    for name in dict.fromkeys(name for study in evidence.studies for name in study.space):
        range_, *others = (study.space[name] for study in evidence.studies if name in study.space)
        if (
            purpose_of(usual_name(name)) != "regularization"
            or not isinstance(range_, Float)
            or any(other != range_ for other in others)
        ):
            continue
        high = min(_MOST[usual_name(name)], range_.high * (10 if range_.scale == "log" else 2))
        if high > range_.high:
            found[name] = Float(range_.low, float(f"{high:.3g}"), scale=range_.scale, when=range_.when)
    return found
