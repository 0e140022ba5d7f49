"""A second model that shares another's weights, so that whatever is done to it leaves the first one as it was."""

from __future__ import annotations

import copy

from torch import nn
from transformers import PreTrainedModel


def twin_of(model: PreTrainedModel) -> PreTrainedModel:
    """A frozen copy of ``model`` in evaluation mode whose modules and configs are its own and whose weights are the model's.

    No weight is copied: both read the same memory. Hooks, ``requires_grad``, the training mode and the device of one do not
    touch the other.
    """
    shared: dict[int, object] = {id(buffer): buffer for buffer in model.buffers()}
    for weight in model.parameters():
        # A quantised weight carries more than its numbers, and never has gradients.
        plain = type(weight) is nn.Parameter
        shared[id(weight)] = nn.Parameter(weight.detach(), requires_grad=False) if plain else weight
    twin = copy.deepcopy(model, shared)
    twin.train(False)
    return twin
