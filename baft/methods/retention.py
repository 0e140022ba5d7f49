"""What keeps the earlier edits of a stream: the hidden states at their prompts, and what a later edit changes there.

A stream carries the states along, a few numbers an edit. They are those of the unedited model: an edit at a single site does
not change what enters it. What is edited again is not held.
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
from baft.methods.base import PROMPTS, Batches, Request, prompt_number
from baft.methods.padding import padded_numbers

STATES = "states"
"""Memory of a stream: the hidden states (S, n, d) at the edited positions of its edits' prompts; rows of zeros are none.

:data:`~baft.methods.base.PROMPTS` has the number (S, n) of the prompt that each is of; 0 where there is none."""


@dataclass(frozen=True)
class Earlier:
    """``hidden`` (S, n, d): the states at the prompts of earlier edits, rows of zeros being none; ``updates`` (S, n, d)
    what they get; ``numbers`` (S, n) those of the prompts."""

    hidden: Tensor
    updates: Tensor
    numbers: Tensor

    def select(self, streams: Tensor) -> Earlier:
        """Those of some streams."""
        return Earlier(*(chosen(t, streams) for t in (self.hidden, self.updates, self.numbers)))


def earlier_edits(state: EditState | None, site: Site, batches: Batches) -> Earlier | None:
    """The earlier edits that ``state`` remembers, with the updates that they have now; None if it remembers none.

    Those whose prompt a stream's request of ``batches`` edits again are left out: they must not hold what is to change.
    """
    if state is None or STATES not in state.memory:
        return None
    delta = state.deltas[site]
    (device,) = {tensor.device for tensor in delta.tensors().values()}
    hidden, numbers = state.memory[STATES].to(device), state.memory[PROMPTS].to(device)
    now = padded_numbers([_numbers(batch) for batch in batches], numbers.dtype, device)
    again = (numbers[:, :, None] == now[:, None]).any(-1)
    hidden, numbers = hidden.masked_fill(again[..., None], 0), numbers.masked_fill(again, 0)
    return Earlier(hidden, _updates(delta, hidden), numbers)


def remembered(earlier: Earlier | None, batches: Batches, prompts: Sequence[Sequence[Tensor]]) -> Mapping[str, Tensor]:
    """The memory of streams after a step with ``batches``, whose prompts had the states ``prompts``, (n, d) each."""
    states = pad_sequence([torch.cat(list(own)) for own in prompts], batch_first=True)
    counted = [
        [number for number, at in zip(_numbers(batch), own, strict=True) for _ in at]
        for batch, own in zip(batches, prompts, strict=True)
    ]
    numbers = padded_numbers(counted, torch.float64, states.device)
    if earlier is not None:
        states, numbers = torch.cat([earlier.hidden, states], 1), torch.cat([earlier.numbers, numbers], 1)
    return {STATES: states, PROMPTS: numbers}


def disturbance(delta: Delta, earlier: Earlier) -> Tensor:
    """The retention term (S,): mean of ‖Φ(h) − Φ'(h)‖² / ‖h‖² over the earlier edits' states, Φ' being as it was."""
    change = _updates(delta, earlier.hidden) - earlier.updates
    size = earlier.hidden.square().sum(-1)
    # At a row of zeros there is no edit, and what an update does there does not matter.
    there = size > 0
    values = torch.where(there, change.square().sum(-1) / size.clamp(min=1e-12), 0.0)
    return values.sum(1) / there.sum(1).clamp(min=1)


def _numbers(batch: Sequence[Request]) -> list[float]:
    return [prompt_number(request.prompt) for request in batch]


def _updates(delta: Delta, hidden: Tensor) -> Tensor:
    return delta.update(hidden, hidden, torch.arange(len(hidden), device=hidden.device))
