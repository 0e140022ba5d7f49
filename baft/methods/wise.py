"""WISE (Wang et al., 2024): edits in side memories, copies of one MLP output layer, that a prompt is routed to or not.

A side memory W' differs from the layer's own W by the edits trained into it. How much that matters to a prompt is a
distance, the mean over its tokens of ‖act(W x) − act(W' x)‖ with the model's activation function. Training makes it large
for edited prompts and small for others, and a prompt whose distance is large enough is run with W' in the place of W.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers.activations import ACT2FN

from baft.benchmarks.irrelevant import load_pool
from baft.engine.deltas import Delta, Dense, Seen
from baft.engine.engine import Engine
from baft.engine.fitting import Fit, Losses, Params, Reading, Schedule, minimise
from baft.engine.frozen import is_transposed
from baft.engine.positions import Everywhere
from baft.engine.rows import Batch, Row, chosen
from baft.engine.sgd import Sgd
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError
from baft.methods.base import (
    Batches,
    Context,
    Method,
    Outcome,
    Remembered,
    Request,
    deltas_of,
    digest,
    generator,
    seed_of,
)
from baft.methods.checks import check_linear
from baft.methods.irrelevant import unrelated_prompts
from baft.methods.registry import register
from baft.methods.routed import Routed
from baft.methods.rows import edit_rows, prompt_rows, row_lengths
from baft.methods.settings.wise import Settings
from baft.methods.side_memory import DECAY, Settling, Texts, activations
from baft.methods.turns import Turns

EDITS, MASK = "edits", "mask"
"""Memory of a stream (S,) int64: how many edits it has had, and the seed of the mask of the side memory in use."""

LONG = 100
"""Tokens above which the authors' distance, as published, is the largest of any token and no mean."""

KEPT_SHARE = 0.6
"""Weight of what was merged before, beside the memories merged into it (WISE-Merge)."""

# Where configurations name the activation function of their MLPs.
_ACTIVATIONS = ("hidden_activation", "hidden_act", "activation_function")


@dataclass(frozen=True)
class SideMemories(Routed):
    """The side memory that a prompt is routed to, if to any, replaces the layer at all tokens.

    ``changes`` (S, n, d_out, d_in) are W' − W, the first of them the one in use, the others full ones. ``thresholds``
    (S, n) are the least distances of their edits' prompts, 0 where there is no such memory. ``activation`` is the name of
    the activation function, ``ratio`` the share of a threshold that a prompt's distance must reach.
    """

    shapes: ClassVar[Mapping[str, str]] = {"changes": "S n o i", "thresholds": "S n"}

    activation: str
    ratio: float
    changes: Tensor
    thresholds: Tensor

    def __post_init__(self) -> None:
        if self.activation not in ACT2FN:
            raise ValueError(f"there is no activation function {self.activation!r}")

    def choose(self, seen: Mapping[Site, Seen], batch: Batch, stream: int, rows: Tensor) -> Tensor:
        """The side memory of a row."""
        ((_, here),) = seen.items()
        there = torch.nonzero(self.thresholds[stream] > 0)[:, 0]
        if not len(there):
            return torch.full_like(rows, -1)
        tokens, limit = (batch.real, LONG) if self.anew else (batch.prompts, None)
        inputs, outputs = here.x[rows][None], here.y[rows][None]
        measured = distances(inputs, outputs, self.changes[stream, there], self.activation, tokens[rows], limit)
        return self._routed(measured, stream, there)

    def _routed(self, measured: Tensor, stream: int, there: Tensor) -> Tensor:
        """The authors' rule on distances (n, b) from the memories ``there`` (n,): the farthest whose threshold is reached.

        The memory in use comes first, and one that is no farther away than it never comes into question.
        """
        routed = torch.full((measured.shape[1],), -1, device=measured.device)
        farthest = torch.full_like(measured[0], -1)
        for number, distance in zip(there.tolist(), measured, strict=True):
            reached = distance >= self.ratio * self.thresholds[stream, number]
            better = reached & (distance > farthest)
            routed = torch.where(better, number, routed)
            farthest = torch.where(better | torch.tensor(number == 0), distance, farthest)
        return routed

    def edited(self, x: Tensor, y: Tensor, batch: Batch, decision: Tensor) -> Tensor:
        changed = torch.empty(y.shape, dtype=self.changes.dtype, device=y.device)
        pairs = torch.stack([batch.stream, decision], 1)
        for stream, memory in torch.unique(pairs, dim=0).tolist():
            rows = torch.nonzero((batch.stream == stream) & (decision == memory))[:, 0]
            changed[rows] = x[rows].to(changed.dtype) @ self.changes[stream, memory].mT
        return y + changed


def distances(
    x: Tensor, y: Tensor, changes: Tensor, activation: str, tokens: Tensor, limit: int | None = None
) -> Tensor:
    """Mean of ‖act(y) − act(y + Δ x)‖ over the ``tokens`` (…, b, T) bool of each row; their maximum in one above ``limit``.

    ``x`` (n or 1, b, T, d_in) and ``y`` (n or 1, b, T, d_out) are the layer's input and output, ``changes``
    (n, d_out, d_in) the Δ of n memories: (n, b), 0 for a row without tokens.
    """
    act = ACT2FN[activation]
    x, y = x.to(changes.dtype), y.to(changes.dtype)
    moved = (x.flatten(1, 2) @ changes.mT).reshape(len(changes), *x.shape[1:3], -1)
    length: Tensor = (act(y + moved) - act(y)).norm(dim=-1)
    real = tokens.to(length.dtype)
    count = real.sum(-1)
    mean = (length * real).sum(-1) / count.clamp(min=1)
    return mean if limit is None else torch.where(count > limit, (length * real).amax(-1), mean)


def margin_loss(inside: Tensor, outside: Tensor, alpha: float, beta: float, gamma: float) -> Tensor:
    """The authors' activation loss (S,) from the distances of edited rows (S, n) and of irrelevant ones (S, m).

    Sum of the means of outside − α, β − inside and outside − inside + γ, each over the rows where it is above 0.
    """
    apart = outside[:, :, None] - inside[:, None, :] + gamma
    return _mean_above_0(outside - alpha) + _mean_above_0(beta - inside) + _mean_above_0(apart.flatten(1))


def _mean_above_0(values: Tensor) -> Tensor:
    return values.clamp(min=0).sum(1) / (values > 0).sum(1).clamp(min=1)


def ties(changes: Sequence[Tensor], weights: Sequence[float], density: float) -> Tensor:
    """TIES-merging (Yadav et al., 2023) of changes of one matrix.

    Of each the largest entries are kept, ``density`` of them. An entry's sign is that of the weighted sum (+ for 0), and its
    value the weighted mean of the changes that have this sign.
    """
    kept = torch.stack([_largest(change, density) for change in changes])
    share = torch.tensor(weights, dtype=kept.dtype, device=kept.device).reshape(-1, *[1] * changes[0].dim())
    positive = (kept * share).sum(0) >= 0
    agreeing = torch.where(positive, kept > 0, kept < 0) * share
    return (kept * agreeing).sum(0) / agreeing.sum(0).clamp(min=1e-12)


def _largest(change: Tensor, density: float) -> Tensor:
    flat = change.flatten()
    count = int(density * len(flat))
    index = flat.abs().topk(count).indices
    return torch.zeros_like(flat).index_copy(0, index, flat[index]).reshape(change.shape)


@dataclass
class Shelf:
    """One stream's side memories while it is edited, the one in use first."""

    changes: list[Tensor]
    thresholds: list[float]
    edits: int = 0
    mask: int = 0

    def keep(self, change: Tensor, distance: float, settings: Settings) -> None:
        """Takes an edit's training into the memory in use; a full one is put aside, and full ones are merged in time."""
        self.edits += 1
        self.changes[0] = change
        self.thresholds[0] = min(self.thresholds[0] or distance, distance)
        if self.edits % settings.save_every == 0:
            self.changes.append(change)
            self.thresholds.append(self.thresholds[0])
            self.changes[0], self.thresholds[0] = torch.zeros_like(change), 0.0
        if self.edits % settings.merge_every == 0:
            self._merge(settings)

    def _merge(self, settings: Settings) -> None:
        count = settings.merge_every // settings.save_every
        before = len(self.changes) - 1 - count
        weights = [1 / count] * count
        if not settings.retrieve and before:
            # What was merged before is the one memory beside the new ones.
            weights = [KEPT_SHARE, *[(1 - KEPT_SHARE) / count] * count]
            count += 1
        merged = ties(self.changes[-count:], weights, settings.density)
        least = min(self.thresholds[-count:])
        self.changes[-count:], self.thresholds[-count:] = [merged], [least]


@dataclass(frozen=True)
class _Inputs:
    """The layer's input ``x`` (S, n + m, T, d_in) and output ``y`` at n rows of each edit and m irrelevant ones.

    ``tokens`` (S, n + m, T) bool are those that count.
    """

    x: Tensor
    y: Tensor
    tokens: Tensor
    edits: int

    def distances(self, changes: Tensor, streams: Tensor, activation: str) -> tuple[Tensor, Tensor]:
        """Of some streams' edited rows (A, n) and irrelevant ones (A, m), from the memories ``changes`` (A, o, i).

        An irrelevant row without tokens is no row: its distance is −∞, which no margin counts.
        """
        own, tokens = (chosen(self.x, streams), chosen(self.y, streams)), chosen(self.tokens, streams)
        found = distances(*own, changes, activation, tokens)
        far = torch.where(tokens[:, self.edits :].any(-1), found[:, self.edits :], -torch.inf)
        return found[:, : self.edits], far


@register
class Wise(Method):
    """Each stream has one side memory in use; requests of a batch are edited one after another."""

    name = "wise"
    settings: Settings

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self._texts = Texts(settings.prefixes)
        self._typical = Remembered[float]()

    def site(self, engine: Engine) -> Site:
        """The layer with side memories."""
        return engine.model.mlp_output(self.settings.layer)

    def check(self, engine: Engine, context: Context) -> None:
        check_linear(engine, self.site(engine))
        activation_of(engine)

    def lengths(self, engine: Engine, request: Request, context: Context) -> Sequence[int]:
        whole = self.settings.routing == "published"
        return [length + whole for length in row_lengths(engine, request, self._contexts(engine, context))]

    def refusal(self, engine: Engine, request: Request, context: Context) -> str | None:
        refused = super().refusal(engine, request, context)
        if refused is None and not self._irrelevant(engine, request, context):
            refused = "no irrelevant prompt is left to train it on: all are probes, or too long for the model"
        return refused

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        site = self.site(engine)
        shelves = self._shelves(engine, state, site, len(batches))
        turns = Turns(batches)
        for streams, requests in turns:
            fit, found = self._turn(engine, site, requests, [shelves[s] for s in streams], context)
            turns.note(streams, requests, fit)
            for s, change, distance, error in zip(streams, fit.params["change"], found, fit.errors, strict=True):
                if error is None:
                    shelves[s].keep(change, distance, self.settings)
        width_in, width_out = engine.model.widths(site)
        trained = int(self.settings.mask * width_in * width_out)
        return Outcome(self._state(engine, shelves, site), turns.trainings(), trained)

    def _turn(
        self, engine: Engine, site: Site, requests: Sequence[Request], shelves: Sequence[Shelf], context: Context
    ) -> tuple[Fit, list[float]]:
        """Trains one request into each memory in use: the changed memories, and the distance of each one's prompts."""
        settings, activation = self.settings, activation_of(engine)
        for shelf, request in zip(shelves, requests, strict=True):
            if shelf.edits % settings.save_every == 0:
                shelf.mask = seed_of("wise mask", context.seed, request.id)
        weight = weight_at(engine, site)
        masks = torch.stack([self._mask(shelf.mask, weight) for shelf in shelves])
        inputs = self._inputs(engine, site, requests, context)
        unit = self._unit(engine, site, activation)
        settling = Settling(engine, len(requests))

        def build(params: Mapping[str, Tensor]) -> dict[Site, Delta]:
            # The gradient reaches only what the mask lets through; weight decay is the optimiser's, and reaches all.
            free = torch.where(params["mask"], params["weight"], params["weight"].detach())
            return {site: Dense(Everywhere(), free - weight)}

        def objective(reading: Reading, deltas: Mapping[Site, Delta]) -> Losses:
            change = deltas[site].tensors()["change"]
            near, far = inputs.distances(change, reading.streams, activation)
            margin = margin_loss(near / unit, far / unit, settings.alpha, settings.beta, settings.gamma)
            total = reading.nll() + margin.to(reading.nlls.device)
            return Losses(total, total, settling.ended(total, reading.streams))

        def bound(params: Params, streams: Tensor) -> None:
            if settings.bound:
                params["weight"].clamp_(weight - settings.bound, weight + settings.bound)

        fit = minimise(
            engine.model,
            edit_rows(engine, [[request] for request in requests], self._contexts(engine, context)),
            {"weight": torch.stack([weight + shelf.changes[0] for shelf in shelves])},
            build,
            Schedule(settings.steps, settings.lr),
            engine.pad,
            objective,
            bound,
            fixed={"mask": masks},
            optimiser=partial(Sgd, decay=DECAY if settings.decay == "published" else 0.0),
        )
        change = fit.params["weight"] - weight
        near, _ = inputs.distances(change, torch.arange(len(requests)), activation)
        return replace(fit, params={"change": change}), near.mean(1).tolist()

    def _mask(self, seed: int, like: Tensor) -> Tensor:
        """Which weights may change (d_out, d_in) bool."""
        drawn = torch.rand(like.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)
        return (drawn < self.settings.mask).to(like.device)

    def _contexts(self, engine: Engine, context: Context) -> tuple[str, ...]:
        """The texts before the prompt."""
        return self._texts.of(engine, context.seed)

    def _irrelevant(self, engine: Engine, request: Request, context: Context) -> list[str]:
        """The request's irrelevant prompts: the benchmark's for training if there are some, else unrelated ones."""
        judged = context.withheld | {digest(request.prompt)}
        for texts in (request.irrelevant, load_pool().general):
            usable = [t for t in texts if digest(t) not in judged and engine.fits(len(engine.text.prompt(t)))]
            if usable:
                drawn = torch.randperm(len(usable), generator=generator("wise irrelevant", context.seed, request.id))
                return [usable[i] for i in drawn[: self.settings.irrelevant].tolist()]
        return []

    def _inputs(self, engine: Engine, site: Site, requests: Sequence[Request], context: Context) -> _Inputs:
        """What the margins of each request are measured at: its prompt behind each text, and irrelevant prompts."""
        own = edit_rows(engine, [[request] for request in requests], self._contexts(engine, context))
        edits = len(own) // len(requests)
        rows: list[Row] = []
        for n, request in enumerate(requests):
            prompts = [self._measured(row) for row in own[n * edits : (n + 1) * edits]]
            texts = self._irrelevant(engine, request, context)
            prompts += [tuple(engine.text.prompt(text)) for text in texts]
            # Fewer than the most: rows without tokens.
            prompts += [()] * (self.settings.irrelevant - len(texts))
            rows += [Row(n, ids, len(ids)) for ids in prompts]
        x, y, tokens = (part.reshape(len(requests), -1, *part.shape[1:]) for part in activations(engine, site, rows))
        return _Inputs(x, y, tokens, edits)

    def _measured(self, row: Row) -> tuple[int, ...]:
        """The tokens of a training row that a distance is taken over: those that will decide, so as published all."""
        return (*row.ids, row.reads[-1][1]) if self.settings.routing == "published" else row.ids[: row.prompt]

    def _unit(self, engine: Engine, site: Site, activation: str) -> float:
        """The unit of the margins: :func:`typical_norm`, or 1."""
        if self.settings.margins == "absolute":
            return 1.0
        return self._typical.of((engine,), lambda: typical_norm(engine, site, activation))

    def _shelves(self, engine: Engine, state: EditState | None, site: Site, count: int) -> list[Shelf]:
        fresh = torch.zeros_like(weight_at(engine, site))
        known = deltas_of(state).get(site)
        if state is None or not isinstance(known, SideMemories):
            return [Shelf([fresh], [0.0]) for _ in range(count)]
        shelves = []
        for s in range(count):
            full = torch.nonzero(known.thresholds[s, 1:] > 0)[:, 0] + 1
            entries = [0, *full.tolist()]
            thresholds = [float(known.thresholds[s, n]) for n in entries]
            edits, mask = (int(state.memory[name][s]) for name in (EDITS, MASK))
            shelves.append(Shelf([known.changes[s, n] for n in entries], thresholds, edits, mask))
        return shelves

    def _state(self, engine: Engine, shelves: Sequence[Shelf], site: Site) -> EditState:
        precision, device = engine.model.precision, engine.model.device_at(site)
        changes = pad_sequence([torch.stack(shelf.changes) for shelf in shelves], batch_first=True)
        thresholds = [torch.tensor(shelf.thresholds, dtype=precision, device=device) for shelf in shelves]
        delta = SideMemories(
            Everywhere(),
            self.settings.routing,
            activation_of(engine),
            self.settings.ratio,
            changes.to(device, precision),
            pad_sequence(thresholds, batch_first=True),
        )
        memory = {
            EDITS: torch.tensor([shelf.edits for shelf in shelves]),
            MASK: torch.tensor([shelf.mask for shelf in shelves]),
        }
        return EditState(len(shelves), {site: delta}, memory)


def activation_of(engine: Engine) -> str:
    """The name of the activation function of the model's MLPs. Raises UserError if its configuration has none."""
    config = engine.model.model.config.get_text_config()
    found = next((name for key in _ACTIVATIONS if isinstance(name := getattr(config, key, None), str)), "")
    if found not in ACT2FN:
        raise UserError(
            f"This model's configuration names no activation function of its MLPs ({', '.join(_ACTIVATIONS)})."
        )
    return found


def weight_at(engine: Engine, site: Site) -> Tensor:
    """The weights (d_out, d_in) of a linear layer, in the precision of deltas."""
    module = engine.model.module(site)
    weight = module.weight
    assert isinstance(weight, Tensor)
    weight = weight.to(engine.model.precision)
    return weight.mT if is_transposed(module) else weight


def typical_norm(engine: Engine, site: Site, activation: str) -> float:
    """The mean of ‖act(W x)‖ over the tokens of unrelated prompts."""
    _, y, tokens = activations(engine, site, prompt_rows(engine, unrelated_prompts(engine)))
    return float(ACT2FN[activation](y).norm(dim=-1)[tokens].mean())
