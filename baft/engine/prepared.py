"""Rows made ready for many forward passes with changing deltas: everything that never changes is computed once.

Two things never change while deltas are trained: the activations below the lowest site, and the activations of the tokens
before the first one that any delta touches. So a pass runs only the blocks above the site, over the tokens from the first
touched one on; the rest is held as hidden states and as cached keys and values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from transformers import DynamicCache

from baft.engine.deltas import Deciding, Delta
from baft.engine.frozen import Decisions, Edits, FrozenModel, Reads, held_in
from baft.engine.positions import Where
from baft.engine.rows import Batch, Row, chosen, collate
from baft.engine.sites import Site


@dataclass(frozen=True)
class Prepared:
    """Rows with their unchanging activations.

    ``hidden`` (B, T, d) is the output of block ``entry`` for the columns of ``batch``, None if entry is -1. ``keys`` and
    ``values`` hold, per block, the K tokens before them, of which ``cached`` (B, K) tells the real ones; None if K is 0.
    ``standing`` are the constant deltas that act in the passes, and ``decisions`` what they decided; those below are part of
    ``hidden`` already.
    """

    model: FrozenModel
    rows: tuple[Row, ...]
    batch: Batch
    entry: int
    hidden: Tensor | None
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    cached: Tensor | None
    standing: Mapping[Site, Delta]
    decisions: Decisions

    @cached_property
    def places(self) -> tuple[tuple[int, int], ...]:
        """Row and position of all that is read, each once, rows in order."""
        return tuple(dict.fromkeys((i, at) for i, row in enumerate(self.rows) for at, _ in row.reads))

    def states(self, deltas: Mapping[Site, Delta]) -> Tensor:
        """What enters the output head (P, d) at :attr:`places` with ``deltas`` in place, in the model's dtype."""
        cache = None
        if self.cached is not None:
            cache = DynamicCache()
            for layer, (key, value) in enumerate(zip(self.keys, self.values, strict=True)):
                cache.update(key, value, layer)
        edits = (*self.standing.items(), *deltas.items())
        return self.model.states(
            self.batch,
            self._reads,
            edits,
            hidden=self.hidden,
            entry=self.entry,
            cache=cache,
            cached=self.cached,
            decisions=self.decisions,
        )

    @cached_property
    def _reads(self) -> Reads:
        index = torch.tensor(self.places, dtype=torch.int64, device=self.batch.ids.device)
        return Reads(index[:, 0], index[:, 1] - self.batch.base[index[:, 0]])

    def select(self, index: Sequence[int], streams: Mapping[int, int]) -> Prepared:
        """Some of the rows, with the streams renumbered."""
        kept = torch.tensor(
            sorted(streams, key=lambda old: streams[old]), dtype=torch.int64, device=self.batch.ids.device
        )
        i = torch.tensor(list(index), dtype=torch.int64, device=self.batch.ids.device)
        rows = tuple(
            Row(streams[row.stream], row.ids, row.prompt, row.mark, row.reads) for row in (self.rows[j] for j in index)
        )
        renumbered = torch.tensor([row.stream for row in rows], dtype=torch.int64, device=i.device)
        return Prepared(
            self.model,
            rows,
            replace(self.batch.select(i), stream=renumbered),
            self.entry,
            None if self.hidden is None else chosen(self.hidden, i),
            tuple(k if len(k) == 1 else chosen(k, i) for k in self.keys),
            tuple(v if len(v) == 1 else chosen(v, i) for v in self.values),
            None if self.cached is None else self.cached[i],
            {site: delta.select(kept) for site, delta in self.standing.items()},
            {site: chosen(decision, i) for site, decision in self.decisions.items()},
        )


@torch.no_grad()
def prepare(
    model: FrozenModel,
    rows: Sequence[Row],
    where: Mapping[Site, Where],
    pad: int,
    standing: Mapping[Site, Delta] | None = None,
) -> Prepared:
    """Runs the model once over ``rows`` and keeps what changing deltas at the sites of ``where`` can never change.

    ``standing`` are deltas that stay as they are: earlier edits of the same streams.
    """
    fixed = tuple((standing or {}).items())
    entry = min(site.entry for site in where)
    starts = [first_needed(row, where) for row in rows]
    width = max(starts)
    batch = collate(rows, model.device, pad, starts)
    decisions: Decisions = {}
    if width == 0:
        hidden = None if entry < 0 else model.activations(batch, Site(entry), edits=fixed)[1]
        if any(isinstance(delta, Deciding) for _, delta in fixed):
            model.run(batch, None, fixed, decisions)
        return Prepared(model, tuple(rows), batch, entry, hidden, (), (), None, _from(entry, fixed), decisions)
    whole = collate(rows, model.device, pad, [start - width for start in starts])
    cache = DynamicCache()
    # The blocks above the site run too: their keys and values are what the later passes attend to.
    below = Site(entry)
    seen = model.run(whole, cache, fixed, decisions, [below] if entry >= 0 else [])
    keys, values = [], []
    for number, (key, value) in enumerate(held_in(cache)):
        # Below the site the cache is never read, but its length is; a view of one number stands for it.
        short = number <= entry
        keys.append(key[:1, :1, :width, :1] if short else key[:, :, :width])
        values.append(value[:1, :1, :width, :1] if short else value[:, :, :width])
    hidden = seen[below].y[:, width:] if below in seen else None
    cached = whole.real[:, :width]
    return Prepared(
        model, tuple(rows), batch, entry, hidden, tuple(keys), tuple(values), cached, _from(entry, fixed), decisions
    )


def _from(entry: int, edits: Edits) -> Mapping[Site, Delta]:
    return {site: delta for site, delta in edits if site.entry >= entry}


def first_needed(row: Row, where: Mapping[Site, Where]) -> int:
    """The first position of ``row`` that deltas at ``where`` may change, or that is read."""
    return min(*(rule.first(row) for rule in where.values()), *(at for at, _ in row.reads))
