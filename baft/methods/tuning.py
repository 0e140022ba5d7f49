"""What the methods share that train a change of one weight matrix: fine-tuning of one MLP output layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from baft.engine.deltas import Dense
from baft.engine.engine import Engine
from baft.engine.fitting import Params, Schedule, minimise
from baft.engine.positions import Everywhere
from baft.engine.rows import Row
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.methods.base import Outcome, Training, deltas_of, trainings_of


def no_change(engine: Engine, site: Site, streams: int) -> Tensor:
    """A change of zeros (S, d_out, d_in) of the weight at ``site``."""
    width_in, width_out = engine.model.widths(site)
    size = (streams, width_out, width_in)
    return torch.zeros(size, dtype=engine.model.precision, device=engine.model.device_at(site))


def tune(
    engine: Engine,
    site: Site,
    rows: Sequence[Row],
    streams: int,
    state: EditState | None,
    schedule: Schedule,
    bound: float = 0.0,
) -> Outcome:
    """Trains a change of the weight at ``site`` for each stream, and adds it to what ``state`` has changed there already.

    After each step every entry of this change is clipped to ± ``bound``, unless that is 0.
    """

    def clip(params: Params, active: Tensor) -> None:
        if bound:
            params["change"].clamp_(-bound, bound)

    where = Everywhere()
    fit = minimise(
        engine.model,
        rows,
        {"change": no_change(engine, site, streams)},
        lambda params: {site: Dense(where, params["change"])},
        schedule,
        engine.pad,
        constrain=clip,
        standing=deltas_of(state),
    )
    return changed(site, fit.params["change"], state, trainings_of(fit))


def changed(site: Site, change: Tensor, state: EditState | None, trainings: tuple[Training, ...]) -> Outcome:
    """The outcome of adding ``change`` (S, d_out, d_in) to what ``state`` has changed at ``site`` already."""
    previous = deltas_of(state).get(site)
    if isinstance(previous, Dense):
        change = previous.change + change
    numbers = change[0].numel()
    return Outcome(EditState(len(change), {site: Dense(Everywhere(), change)}), trainings, numbers, numbers)
