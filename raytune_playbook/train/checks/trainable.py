"""What a workload's model must be to be trained, and its losses, each refusal in one sentence."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from raytune_playbook.errors import SpecError


def require_trainable(model: object) -> nn.Module:
    """Check what `Workload.model` returned.

    Raises:
        SpecError: it is no module, has parameters without shape or storage, or none that can be trained alike.
    """
    if not isinstance(model, nn.Module):
        raise SpecError(
            f"Workload.model must return a torch.nn.Module, but returns {_kind(model)}; return the model itself."
        )
    named = [*model.named_parameters(), *model.named_buffers()]
    for name, tensor in named:
        if is_lazy(tensor):
            layer = model.get_submodule(name.rpartition(".")[0])
            raise SpecError(
                f"Workload.model: every layer must know its sizes before training, but {name!r} of "
                f"{type(layer).__name__} has none yet; give its sizes, or pass one example through the model before "
                "it is returned."
            )
        if tensor.is_meta:
            raise SpecError(
                f"Workload.model: every parameter needs storage, but {name!r} is on torch's meta device; make the "
                "model on the CPU, and the worker's device is taken care of."
            )
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not trainable:
        frozen = "all of its parameters are frozen" if any(True for _ in model.parameters()) else "it has none"
        raise SpecError(
            f"Workload.model: training needs a parameter that requires a gradient, but of {type(model).__name__} "
            f"{frozen}; return a model that has one, and hold no layer outside of it."
        )
    if complex_ := next((name for name, parameter in trainable.items() if parameter.is_complex()), None):
        raise SpecError(
            f"Workload.model: trainable parameters must be real numbers, but {complex_!r} is "
            f"{_dtype(trainable[complex_])}; keep its real and imaginary parts (torch.view_as_real)."
        )
    first_of = {parameter.dtype: name for name, parameter in reversed(trainable.items())}
    if len(first_of) > 1:
        given = ", ".join(f"{name!r} is {_dtype(trainable[name])}" for name in sorted(first_of.values()))
        raise SpecError(
            f"Workload.model: trainable parameters must be of one type, but {given}; convert the model, as by "
            "model.float(). Computing in another one is up to the hyperparameter 'precision'."
        )
    return model


def require_per_example(what: str, value: object, batch: int) -> None:
    """Check that a loss or metric has the shape (batch,).

    Raises:
        SpecError: it has another, such as the mean over the batch, or is no tensor of real numbers.
    """
    if not isinstance(value, Tensor):
        raise SpecError(
            f"{what} must be a tensor of shape ({batch},), one value per example, but is {_kind(value)}; return one."
        )
    if value.shape != (batch,):
        raise SpecError(
            f"{what} must have one value per example, shape ({batch},), but has shape {tuple(value.shape)}; "
            "return it without averaging (reduction='none')."
        )
    if value.is_complex():
        raise SpecError(f"{what} must be real numbers, but they are {_dtype(value)}; return their absolute values.")


def require_gradient(losses: Tensor) -> None:
    """Check that training can learn from a step's losses.

    Raises:
        SpecError: they do not depend on a trainable parameter by anything that torch differentiates.
    """
    if not losses.requires_grad:
        raise SpecError(
            "Workload.loss must depend on the model's trainable parameters, but what it returns has no gradient; "
            "compute it from the model's output, without detach(), item(), numpy() or torch.no_grad()."
        )


def require_metrics(found: object, batch: int) -> dict[str, Tensor]:
    """Check that `Workload.metrics` returned metrics by name, of shape (batch,) each.

    Raises:
        SpecError: it did not.
    """
    if not isinstance(found, Mapping) or not found:
        raise SpecError(
            "Workload.metrics must return a mapping of names to metrics, one value per example each, but returns "
            f"{_kind(found)}; return {{'loss': ...}}."
        )
    for name, value in found.items():
        require_per_example(f"Workload.metrics: {name}", value, batch)
    return dict(found)


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    return "an empty one" if isinstance(value, Mapping) else f"an object of type {type(value).__name__}"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
