"""A memory beside the output layer of one MLP, and how it is trained: what WISE and MEMOIR, which builds on it, share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from baft.engine.engine import Engine
from baft.engine.rows import Row, collate
from baft.engine.sites import Site
from baft.methods.key_value import Prefixes

DECAY = 1e-5
"""Published weight decay."""

STARTS = ("I", "You", "Because", "Yes", "Q: ")
"""What the authors' sampled texts begin with."""

LENGTHS = (5, 10)
"""Tokens of the authors' sampled texts."""

SETTLED, LOW = 1e-4, 0.02
"""Training ends once the loss has changed by no more than the first in a step, and is no more than the second."""


class Texts:
    """``count`` texts sampled from the unedited model to put before a prompt, half of them short and half of them long."""

    def __init__(self, count: int):
        long = count // 2
        counts = (count - long, long)
        self._prefixes = [Prefixes(count, (length,), STARTS) for count, length in zip(counts, LENGTHS, strict=True)]

    def of(self, engine: Engine, seed: int) -> tuple[str, ...]:
        """The texts; drawn once."""
        return tuple(text for drawn in self._prefixes for text in drawn.of(engine, seed))


class Settling:
    """Which of ``count`` streams have settled, by their losses of the last two steps; in those steps all are asked."""

    def __init__(self, engine: Engine, count: int):
        self._last = torch.full((2, count), torch.inf, dtype=engine.model.precision, device=engine.model.device)

    def ended(self, total: Tensor, streams: Tensor) -> Tensor:
        """(A,) bool, for the losses ``total`` (A,) of ``streams`` (A,) before this step: the authors look one step back."""
        last = self._last[:, streams]
        settled = (last[0] - last[1]).abs() <= SETTLED
        self._last[:, streams] = torch.stack([total.detach(), last[0]])
        return settled & (last[0] <= LOW)


@torch.no_grad()
def activations(engine: Engine, site: Site, rows: Sequence[Row]) -> tuple[Tensor, Tensor, Tensor]:
    """Input (R, T, d_in) and output (R, T, d_out) of ``site``'s module in the unedited model, and what are tokens (R, T).

    Rows are padded, and may have none. In the model's precision, on the site's device.
    """
    width = max(len(row.ids) for row in rows)
    there = [n for n, row in enumerate(rows) if row.ids]
    place, precision = engine.model.device_at(site), engine.model.precision
    sizes = engine.model.widths(site)
    x, y = (torch.zeros(len(rows), width, size, dtype=precision, device=place) for size in sizes)
    tokens = torch.zeros(len(rows), width, dtype=torch.bool, device=place)

    def work(group: Sequence[int]) -> None:
        batch = collate([rows[n] for n in group], engine.model.device, engine.pad)
        seen, index = engine.model.activations(batch, site), torch.tensor(group, device=place)
        for whole, part in zip((x, y, tokens), (*seen, batch.real), strict=True):
            whole[index, : part.shape[1]] = part.to(place, whole.dtype)

    for _ in engine.budget.run(there, lambda n: len(rows[n].ids), work):
        pass
    return x, y, tokens
