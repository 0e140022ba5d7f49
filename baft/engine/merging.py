"""Edits of weights merged into the weights: a plain model that needs nothing of this package."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from baft.engine.deltas import Delta, WeightChange
from baft.engine.frozen import FrozenModel, is_transposed
from baft.engine.own_models import OwnModel
from baft.engine.positions import Everywhere
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError


@torch.no_grad()
def merged(model: FrozenModel, state: EditState) -> PreTrainedModel:
    """A copy of the model, weights and all, with the first stream's edits in its weights; trainable, in evaluation mode.

    The sum is taken in the deltas' dtype and rounded to the model's. Raises UserError unless each edit is a change of a
    weight that acts at every token.
    """
    own = state.models[0] if state.models else None
    if own is not None:
        return _as_changed(model, own)
    whole = copy.deepcopy(model.model)
    changes = {} if not bool(state.edited[0]) else {site: _change(site, delta) for site, delta in state.deltas.items()}
    if bool(state.edited[0]) and state.preamble is not None:
        raise UserError("This edit is text put before the prompt, and no change of weights: it cannot be merged.")
    blocks = FrozenModel(whole, model.architecture)
    for site, change in changes.items():
        module = blocks.module(site)
        weight = module.weight
        assert isinstance(weight, nn.Parameter)
        _check(site, weight, whole)
        added = change.T if is_transposed(module) else change
        weight.copy_((weight.to(added.dtype) + added.to(weight.device)).to(weight.dtype))
    for parameter in whole.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    return whole


def _as_changed(model: FrozenModel, own: OwnModel) -> PreTrainedModel:
    if own.changed is None:
        raise UserError(
            "There is more to this edit than changed weights (other modules, hooks or attributes), so it cannot be merged."
        )
    found = OwnModel.restored(model.model, own.changed).model
    assert isinstance(found, PreTrainedModel)
    return found


def _change(site: Site, delta: Delta) -> Tensor:
    """(d_out, d_in): what is added to the weight of a linear layer."""
    if site.module and isinstance(delta.where, Everywhere) and isinstance(delta, WeightChange):
        return delta.matrix(0)
    raise UserError(
        f"The edit at {site} ({type(delta).__name__}) depends on the input or on its place in the prompt, so it is no "
        "change of weights and cannot be merged: use the edited model as it is, or save and load the edit."
    )


def _check(site: Site, weight: Tensor, model: nn.Module) -> None:
    if not weight.is_floating_point():
        raise UserError(
            f"The weight at {site} is quantised, so that no change can be merged into it: edit it unquantised."
        )
    sharing = [
        name
        for name, module in model.named_modules()
        for own in module.parameters(recurse=False)
        if own.data_ptr() == weight.data_ptr()
    ]
    if len(sharing) > 1:
        raise UserError(
            f"The weight at {site} is that of {' and '.join(sharing)} too, so that the edit cannot be merged."
        )
