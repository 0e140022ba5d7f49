"""GRACE (Hartvigsen et al., 2023): a codebook of values that replace one layer's output near the prompts of edits.

A key is the input of an MLP output layer at the prompt's last token, its value what replaces that layer's output. A prompt
whose key lies within the radius of its nearest key gets that key's value; any other prompt is left alone, bit for bit. The
choice is made at the prompt and kept for all that continues it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from baft.engine.deltas import Delta, Seen
from baft.engine.engine import Engine
from baft.engine.fitting import Fit, Schedule, minimise
from baft.engine.positions import BeforePromptEnd, Everywhere, PromptEnds, Where
from baft.engine.rows import Batch, Grouping, Row, collate
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.methods.base import PROMPTS, Batches, Context, Method, Outcome, Request, deltas_of, generator, prompt_number
from baft.methods.padding import padded_numbers, padded_vectors
from baft.methods.radii import LABELS, distances, nearest, reaching, rounding, target_label
from baft.methods.registry import register
from baft.methods.routed import Routed
from baft.methods.rows import forced_row
from baft.methods.settings.grace import Settings
from baft.methods.turns import Turns

MARGIN = 1e-5
"""What keeps the radii of two keys that meet half-way from touching."""

_WHERE: Mapping[str, Where] = {"last": PromptEnds(0, 1), "before": BeforePromptEnd(), "all": Everywhere()}


@dataclass(frozen=True)
class Codebook(Routed):
    """The value of the nearest key within its radius replaces the output.

    ``keys`` (S, n, d_in), ``values`` (S, n, d_out), ``radii`` (S, n); ``there`` (S, n) bool tells which entries a stream
    has. Of keys at one distance the newest counts.
    """

    shapes: ClassVar[Mapping[str, str]] = {"keys": "S n i", "values": "S n o", "radii": "S n", "there": "S n"}

    keys: Tensor
    values: Tensor
    radii: Tensor
    there: Tensor

    def stored(self) -> list[Tensor]:
        """All but what tells which entries there are."""
        return [self.keys, self.values, self.radii]

    def places(self, batch: Batch) -> Tensor | None:
        if self.anew and isinstance(self.where, PromptEnds):
            columns = torch.arange(batch.ids.shape[1], device=batch.ids.device)
            return columns == _asked_at(batch)[:, None]
        return super().places(batch)

    def choose(self, seen: Mapping[Site, Seen], batch: Batch, stream: int, rows: Tensor) -> Tensor:
        """The entry whose value a row gets."""
        ((_, here),) = seen.items()
        return self._nearest(here.x[rows, _asked_at(batch)[rows]].to(self.keys.dtype), stream)

    def _nearest(self, queries: Tensor, stream: int) -> Tensor:
        entries = torch.nonzero(self.there[stream])[:, 0].flip(0)
        if not len(entries):
            return torch.full((len(queries),), -1, device=queries.device)
        distance, at = distances(queries, self.keys[stream, entries]).min(1)
        return torch.where(distance <= self.radii[stream, entries[at]], entries[at], -1)

    def edited(self, x: Tensor, y: Tensor, batch: Batch, decision: Tensor) -> Tensor:
        return self.values[batch.stream, decision][:, None].expand_as(y)


def _asked_at(batch: Batch) -> Tensor:
    """(B,): the column of the prompt's last token, or of the first in a pass over what follows the prompt."""
    return (batch.prompt - 1 - batch.base).clamp(min=0)


@dataclass(frozen=True)
class Replacement(Delta):
    """``value`` (S, d_out) replaces the output: what a codebook does on a prompt that it is trained on."""

    shapes: ClassVar[Mapping[str, str]] = {"value": "S o"}

    value: Tensor

    def update(self, x: Tensor, y: Tensor, present: Tensor) -> Tensor:
        return self._of(self.value, present)[:, None] - y

    def apply(self, x: Tensor, y: Tensor, batch: Batch, grouping: Grouping, decision: Tensor | None = None) -> Tensor:
        # Not y + (value - y), which rounds.
        mask, value = self.where.mask(batch), self.value[batch.stream][:, None].to(y.dtype).expand_as(y)
        return value if mask is None else torch.where(mask[..., None], value, y)


@dataclass
class Book:
    """One stream's codebook while it is edited; ``radius`` is what new keys begin with.

    ``rounding`` is the share of a key's length by which rounding may move it.
    ``prompts`` are the numbers of the prompts whose keys they are, by :func:`~baft.methods.base.prompt_number`.
    """

    radius: float
    expand: str = "coverage"
    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    radii: list[float] = field(default_factory=list)
    labels: list[float] = field(default_factory=list)
    prompts: list[float] = field(default_factory=list)
    rounding: float = 0.0

    def copy(self) -> Book:
        """One that can be changed without this one."""
        lists = (list(self.keys), list(self.values), list(self.radii), list(self.labels), list(self.prompts))
        return Book(self.radius, self.expand, *lists, self.rounding)

    def place(self, query: Tensor, prompt: float, label: float, value: Tensor) -> int:
        """The entry that an edit with the key ``query`` (d_in,) is trained at, after the authors' rule is applied.

        A query far from every key is a new key. One that a key covers, or nearly, widens that key's radius if both say the
        same, and otherwise splits the distance. Where the prompt is a key's own and says something else now, the key is used
        again: two keys in one place could not be told apart.
        """
        if not self.keys:
            return self._added(query, prompt, label, value, self.radius)
        # Not told by the distance: in bfloat16 rounding moves a key by some hundredths of its length.
        own = self.prompts.index(prompt) if prompt in self.prompts else None
        if own is not None and self.labels[own] != label:
            self.keys[own], self.labels[own], self.values[own] = query, label, value
            return own
        distance, n = nearest(query, self.keys)
        if distance > self.radius + self.radii[n]:
            return self._added(query, prompt, label, value, self.radius)
        if self.labels[n] == label:
            self.radii[n] = max(self.radii[n], reaching(self.keys[n], query, self.rounding))
            if self.expand == "moving_average":
                self.keys[n] = (self.keys[n] + query) / 2
            return n
        self.radii[n] = distance / 2 - MARGIN
        return self._added(query, prompt, label, value, distance / 2)

    def _added(self, query: Tensor, prompt: float, label: float, value: Tensor, radius: float) -> int:
        self.keys.append(query)
        self.prompts.append(prompt)
        self.values.append(value)
        self.radii.append(radius)
        self.labels.append(label)
        return len(self.keys) - 1


@register
class Grace(Method):
    """One codebook entry an edit at most; requests of a batch are edited one after another."""

    name = "grace"
    settings: Settings

    def check(self, engine: Engine, context: Context) -> None:
        engine.model.layer(self.settings.layer)

    def refusal(self, engine: Engine, request: Request, context: Context) -> str | None:
        refused = super().refusal(engine, request, context)
        if refused is None and self.settings.replace == "before" and len(engine.text.prompt(request.prompt)) < 2:
            refused = "its prompt is one token, and 'replace: before' replaces what is before the last"
        return refused

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        site = engine.model.mlp_output(self.settings.layer)
        books = self._books(engine, state, site, len(batches))
        turns = Turns(batches)
        for streams, requests in turns:
            tried = [books[s].copy() for s in streams]
            fit = self._turn(engine, site, requests, tried, context.seed)
            turns.note(streams, requests, fit)
            for s, book, error in zip(streams, tried, fit.errors, strict=True):
                if error is None:
                    books[s] = book
        return Outcome(self._state(engine, books, site), turns.trainings(), trained=engine.model.widths(site)[1])

    def _turn(self, engine: Engine, site: Site, requests: Sequence[Request], books: Sequence[Book], seed: int) -> Fit:
        """Edits each of ``books`` with one request; its entry has the trained value afterwards, unless that failed."""
        keys, outputs = _at_prompt_end(engine, site, requests)
        entries = [
            book.place(
                key,
                prompt_number(request.prompt),
                self._label(engine, request),
                self._first_value(output, request, seed),
            )
            for book, request, key, output in zip(books, requests, keys, outputs, strict=True)
        ]
        where = _WHERE[self.settings.replace]
        fit = minimise(
            engine.model,
            [forced_row(engine, s, request) for s, request in enumerate(requests)],
            {"value": torch.stack([book.values[n] for book, n in zip(books, entries, strict=True)])},
            lambda params: {site: Replacement(where, params["value"])},
            Schedule(self.settings.steps, self.settings.lr, self.settings.tolerance),
            engine.pad,
        )
        for book, n, value in zip(books, entries, fit.params["value"], strict=True):
            book.values[n] = value
        return fit

    def _label(self, engine: Engine, request: Request) -> float:
        if self.settings.label_match == "tokens":
            return target_label(engine, request)
        tokens = engine.text.answer(request.prompt, request.target)
        masked = len(engine.text.prompt(request.prompt))
        return (sum(tokens) - 100 * masked) / (len(tokens) + masked)

    def _first_value(self, output: Tensor, request: Request, seed: int) -> Tensor:
        if self.settings.start == "warm":
            return output
        drawn = torch.rand(len(output), generator=generator("grace", seed, request.id), dtype=torch.float32)
        return drawn.to(output)

    def _books(self, engine: Engine, state: EditState | None, site: Site, count: int) -> list[Book]:
        books = [Book(self.settings.radius, self.settings.expand, rounding=rounding(engine)) for _ in range(count)]
        known = deltas_of(state).get(site)
        if state is not None and isinstance(known, Codebook):
            for s, book in enumerate(books):
                for n in torch.nonzero(known.there[s])[:, 0].tolist():
                    book.keys.append(known.keys[s, n])
                    book.values.append(known.values[s, n])
                    book.radii.append(float(known.radii[s, n]))
                    book.labels.append(float(state.memory[LABELS][s, n]))
                    book.prompts.append(float(state.memory[PROMPTS][s, n]))
        return books

    def _state(self, engine: Engine, books: Sequence[Book], site: Site) -> EditState:
        like = torch.empty(0, dtype=engine.model.precision, device=engine.model.device_at(site))
        width_in, width_out = engine.model.widths(site)
        delta = Codebook(
            _WHERE[self.settings.replace],
            self.settings.routing,
            padded_vectors([book.keys for book in books], (width_in,), like),
            padded_vectors([book.values for book in books], (width_out,), like),
            padded_numbers([book.radii for book in books], like.dtype, like.device),
            padded_numbers([[True] * len(book.keys) for book in books], torch.bool, like.device),
        )
        memory = {
            LABELS: padded_numbers([book.labels for book in books], torch.float64),
            PROMPTS: padded_numbers([book.prompts for book in books], torch.float64),
        }
        return EditState(len(books), {site: delta}, memory)


@torch.no_grad()
def _at_prompt_end(engine: Engine, site: Site, requests: Sequence[Request]) -> tuple[Tensor, Tensor]:
    """Input (R, d_in) and output (R, d_out) of the unedited layer at the last token of each prompt."""
    prompts = [engine.text.prompt(request.prompt) for request in requests]
    rows = [Row(s, tuple(ids), len(ids)) for s, ids in enumerate(prompts)]
    x, y = engine.model.activations(collate(rows, engine.model.device, engine.pad), site)
    at = torch.tensor([len(ids) - 1 for ids in prompts], device=x.device)
    own = torch.arange(len(rows), device=x.device)
    return x[own, at].to(engine.model.precision), y[own, at].to(engine.model.precision)
