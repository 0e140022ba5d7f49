"""The edits of several streams: all that an edited model has and the unedited one has not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from baft.engine.deltas import Delta
from baft.engine.own_models import OwnModel
from baft.engine.preambles import Preamble
from baft.engine.rows import chosen
from baft.engine.sites import Site


@dataclass(frozen=True)
class EditState:
    """``deltas`` by site and ``memory`` by name, every tensor (S, …) for ``streams`` = S streams.

    ``preamble`` is the text put before prompts, ``memory`` what a method carries along a stream. ``models`` are empty, or
    have for each stream the model of its own that is asked instead, or None. ``edited`` (S,) bool, in main memory, says
    which streams are edited at all; unless given, all are if there is anything to edit them with.
    """

    streams: int
    deltas: Mapping[Site, Delta] = field(default_factory=dict)
    memory: Mapping[str, Tensor] = field(default_factory=dict)
    preamble: Preamble | None = None
    edited: Tensor = None  # type: ignore[assignment]
    models: tuple[OwnModel | None, ...] = ()

    def __post_init__(self) -> None:
        if self.edited is None:
            there = bool(self.deltas) or self.preamble is not None or any(self.models)
            object.__setattr__(self, "edited", torch.full((self.streams,), there))

    def select(self, streams: Sequence[int] | Tensor) -> EditState:
        """The state of some streams, renumbered 0 … in the order given."""
        index = torch.as_tensor(streams, dtype=torch.int64)
        return EditState(
            len(index),
            {site: delta.select(index) for site, delta in self.deltas.items()},
            {name: chosen(t, index) for name, t in self.memory.items()},
            None if self.preamble is None else self.preamble.select(index),
            self.edited[index],
            tuple(self.models[s] for s in index.tolist()) if self.models else (),
        )

    def stored(self) -> list[int | None]:
        """Numbers that each stream's edited model has beside the unedited one: those of its deltas and preamble that are not
        0, its changed parameters, and a number for each character of text. None where nobody knows."""
        counts = _filled([t for delta in self.deltas.values() for t in delta.stored()], self.streams)
        if self.preamble is not None:
            texts = [sum(len(fact.text) for fact in facts) for facts in self.preamble.facts]
            numbers = _filled(self.preamble.stored(), self.streams)
            counts = [sum(parts) for parts in zip(counts, texts, numbers, strict=True)]
        found: list[int | None] = [
            count if there else 0 for count, there in zip(counts, self.edited.tolist(), strict=True)
        ]
        for s, own in enumerate(self.models):
            if own is not None:
                found[s] = None if own.changed is None else sum(t.numel() for t in own.changed.values())
        return found

    def carried(self) -> list[int]:
        """Numbers other than 0 that each stream keeps only to go on editing: those of its memory."""
        return _filled(list(self.memory.values()), self.streams)

    @property
    def savable(self) -> bool:
        """Whether it can be written: a model of its own that has other modules than the unedited one cannot."""
        return all(own is None or own.changed is not None for own in self.models)

    def put_back(self, streams: Sequence[int], earlier: EditState | None) -> EditState:
        """With ``streams`` as they were in ``earlier``, unedited where that has nothing of them."""
        before = earlier or EditState(self.streams)
        others = [s for s in range(self.streams) if s not in streams]
        whole = EditState.join([self.select(others), before.select(streams)])
        return whole.select([[*others, *streams].index(s) for s in range(self.streams)])

    @staticmethod
    def join(states: Sequence[EditState]) -> EditState:
        """States of different streams as one. All deltas at a site must be of one kind.

        Where tensors have grown to different sizes, the smaller ones have zeros appended; where a state has no delta at a
        site, its streams get one of zeros.
        """
        counts = [state.streams for state in states]
        sites = dict.fromkeys(site for state in states for site in state.deltas)
        names = dict.fromkeys(name for state in states for name in state.memory)
        deltas = {}
        for site in sites:
            (kind,) = {type(state.deltas[site]) for state in states if site in state.deltas}
            model = next(state.deltas[site] for state in states if site in state.deltas)
            assert type(model) is kind
            parts = [state.deltas[site].tensors() if site in state.deltas else {} for state in states]
            deltas[site] = model.with_tensors(
                {name: _stacked([part.get(name) for part in parts], counts) for name in model.tensors()}
            )
        memory = {name: _stacked([state.memory.get(name) for state in states], counts) for name in names}
        preamble = _joined([state.preamble for state in states], counts)
        own = tuple(m for state in states for m in state.models or (None,) * state.streams)
        edited = torch.cat([state.edited for state in states])
        return EditState(sum(counts), deltas, memory, preamble, edited, own if any(own) else ())


def _filled(tensors: Sequence[Tensor], streams: int) -> list[int]:
    """How many numbers of each stream are not 0: what pads streams of unequal sizes is."""
    counts = [torch.count_nonzero(t.reshape(streams, -1), dim=1).cpu() for t in tensors]
    return torch.stack(counts).sum(0).tolist() if counts else [0] * streams


def _joined(preambles: Sequence[Preamble | None], counts: Sequence[int]) -> Preamble | None:
    model = next((own for own in preambles if own is not None), None)
    if model is None:
        return None
    tensors = [{} if own is None else own.tensors() for own in preambles]
    facts = [((),) * count if own is None else own.facts for own, count in zip(preambles, counts, strict=True)]
    whole = {name: _stacked([part.get(name) for part in tensors], counts) for name in model.tensors()}
    return replace(model, facts=tuple(own for part in facts for own in part), **whole)


def _stacked(parts: Sequence[Tensor | None], counts: Sequence[int]) -> Tensor:
    """Tensors (n, …) of n streams each, one below the other, padded with zeros; zeros throughout for None."""
    there = [part for part in parts if part is not None]
    widest = [max(sizes) for sizes in zip(*(part.shape[1:] for part in there), strict=True)]
    whole = there[0].new_zeros(sum(counts), *widest)
    for place, part in zip(torch.split(whole, list(counts)), parts, strict=True):
        if part is not None:
            for dim, width in enumerate(part.shape[1:], 1):
                place = place.narrow(dim, 0, width)
            place.copy_(part)
    return whole
