"""A model's buffers, such as running averages, which may differ from worker to worker."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from raytune_playbook.train.group import Group


def buffers(model: nn.Module) -> list[Tensor]:
    """The buffers that belong to the model's state, such as running averages; they share memory with the model's."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    state = model.state_dict()
    return [tensor for name, tensor in state.items() if name not in parameters and isinstance(tensor, Tensor)]


def shared(parts: list[Tensor]) -> list[Tensor]:
    """The same, with those that are equal to the first as one tensor, which is stored once."""
    return [parts[0] if torch.equal(part, parts[0]) else part for part in parts]


def gathered(tensors: list[Tensor], group: Group) -> list[Tensor]:
    """Each worker's bytes of some tensors, of shape (num_bytes,): one collective whatever their dtypes."""
    if not tensors:
        return [torch.zeros(0, dtype=torch.uint8)] * group.size
    return group.gather(torch.cat([t.detach().contiguous().view(-1).view(torch.uint8) for t in tensors]))


@torch.no_grad()
def unpack(packed: Tensor, tensors: list[Tensor]) -> None:
    """Put the bytes back into the same tensors."""
    sizes = [tensor.numel() * tensor.element_size() for tensor in tensors]
    for part, tensor in zip(packed.split(sizes), tensors, strict=True):
        # Copied first, since a slice of bytes may begin where its dtype cannot.
        tensor.copy_(part.clone().view(tensor.dtype).view(tensor.shape))
