"""What keeps the earlier edits of a stream: the hidden states at their prompts, and what a later edit changes there.

A stream carries the states along, a few numbers an edit. They are those of the unedited model: an edit at a single site does
not change what enters it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from baft.engine.deltas import Delta
from baft.engine.rows import chosen
from baft.engine.sites import Site
from baft.engine.state import EditState

PROMPTS = "prompts"
"""Memory of a stream: the hidden states (S, n, d) at the edited positions of its edits' prompts; rows of zeros are none."""


@dataclass(frozen=True)
class Earlier:
    """``hidden`` (S, n, d): the states at the prompts of earlier edits, rows of zeros being none; ``updates`` (S, n, d)
    what they get."""

    hidden: Tensor
    updates: Tensor

    def select(self, streams: Tensor) -> Earlier:
        """Those of some streams."""
        return Earlier(chosen(self.hidden, streams), chosen(self.updates, streams))


def earlier_edits(state: EditState | None, site: Site) -> Earlier | None:
    """The earlier edits that ``state`` remembers, with the updates that they have now; None if it remembers none."""
    if state is None or PROMPTS not in state.memory:
        return None
    delta = state.deltas[site]
    (device,) = {tensor.device for tensor in delta.tensors().values()}
    hidden = state.memory[PROMPTS].to(device)
    return Earlier(hidden, _updates(delta, hidden))


def remembered(earlier: Earlier | None, prompts: Sequence[Sequence[Tensor]]) -> Mapping[str, Tensor]:
    """The memory of streams after a step whose prompts had the states ``prompts``, (n, d) each, per stream."""
    states = pad_sequence([torch.cat(list(own)) for own in prompts], batch_first=True)
    return {PROMPTS: states if earlier is None else torch.cat([earlier.hidden, states], 1)}


def disturbance(delta: Delta, earlier: Earlier) -> Tensor:
    """The retention term (S,): mean of ‖Φ(h) − Φ'(h)‖² / ‖h‖² over the earlier edits' states, Φ' being as it was."""
    change = _updates(delta, earlier.hidden) - earlier.updates
    size = earlier.hidden.square().sum(-1)
    # At a row of zeros there is no edit, and what an update does there does not matter.
    there = size > 0
    values = torch.where(there, change.square().sum(-1) / size.clamp(min=1e-12), 0.0)
    return values.sum(1) / there.sum(1).clamp(min=1)


def _updates(delta: Delta, hidden: Tensor) -> Tensor:
    return delta.update(hidden, hidden, torch.arange(len(hidden), device=hidden.device))
