"""Prompts on which none of a stream's deltas acts, told by a pass through the lower blocks alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from baft.engine.budget import TokenBudget
from baft.engine.deltas import Deciding, Delta, Seen
from baft.engine.frozen import FrozenModel
from baft.engine.rows import Row, collate
from baft.engine.sites import Site

LOW = 0.5
"""Share of the depth up to which decisions are read in a pass of their own: higher up it costs as much as asking all."""


def deciding_low(model: FrozenModel, deltas: Mapping[Site, Delta]) -> Mapping[Site, Deciding] | None:
    """The ``deltas``, if a pass through the lower blocks tells where they act.

    None where one doesn't decide, decides anew in every pass, or reads what is high in the model.
    """
    found = {site: delta for site, delta in deltas.items() if isinstance(delta, Deciding) and not delta.anew}
    high = any(at.layer >= LOW * len(model.blocks) for site, delta in found.items() for at in delta.looks(site))
    return None if high or len(found) < len(deltas) else found


@torch.no_grad()
def untouched(
    model: FrozenModel, pad: int, budget: TokenBudget, deciding: Mapping[Site, Deciding], rows: Sequence[Row]
) -> list[bool]:
    """Whether nothing acts on each of ``rows``, which are prompts: all that continues such a one is the unedited model's.

    ``deciding`` are as :func:`deciding_low` gives them. They may read what others have edited: on a row on which none acts
    that is the unedited model's too.
    """
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))
    found = [True] * len(rows)

    def work(group: Sequence[int]) -> list[bool]:
        return (~_acted_on(model, pad, deciding, [rows[i] for i in group])).tolist()

    done = iter(order)
    for part in budget.run(order, lambda i: len(rows[i].ids), work):
        for closed in part:
            found[next(done)] = closed
    return found


def _acted_on(model: FrozenModel, pad: int, deciding: Mapping[Site, Deciding], rows: Sequence[Row]) -> Tensor:
    batch = collate(rows, model.device, pad)
    seen = model.seen(batch, {at for site, delta in deciding.items() for at in delta.looks(site)})
    acted = torch.zeros(len(rows), dtype=torch.bool)
    for site, delta in deciding.items():
        place = model.device_at(site)
        there = {at: Seen(seen[at].x.to(place), seen[at].y.to(place)) for at in delta.looks(site)}
        acted |= delta.acts(delta.decide(there, batch.to(place))).cpu()
    return acted
