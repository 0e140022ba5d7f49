"""RILKE (Liu et al., 2025): a LoReFT module for each fact, one of which is chosen by what a prompt is most like.

A fact's module is h + Rᵀ(W h + b − R h), trained on that fact alone, and its key the hidden state of the fact's prompt. On
a prompt acts the module of the key at the largest cosine from the prompt's state, or none if the cosine is too small.
The paper's code is not public: what is not in the abstract is this project's choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from baft.engine.deltas import Choosing, Seen
from baft.engine.engine import Engine
from baft.engine.positions import PromptEnds
from baft.engine.rows import Batch, mean_over
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError
from baft.methods.apart import Apart, kept_apart, prompts_of, with_edit
from baft.methods.base import Batches, Context, Method, Outcome, Remembered, Request, deltas_of, prompt_number
from baft.methods.irrelevant import WHOLE, hidden_states, unrelated_prompts
from baft.methods.padding import padded_vectors
from baft.methods.registry import register
from baft.methods.rows import row_lengths
from baft.methods.settings.rilke import Settings
from baft.methods.subspace import check_subspace, fit_alone, site_of, where_of
from baft.methods.turns import Turns


@dataclass(frozen=True)
class Modules(Choosing):
    """h + Rᵀ(W h + b − R h) of the fact whose key is at the largest cosine, if that is at least ``similarity``.

    ``keys`` (S, n, d) are unit vectors, zeros where a stream has no such fact; ``rotation`` R and ``weight`` W are
    (S, n, r, d), ``bias`` b (S, n, r). A key is of the states at ``reads``, less ``centre`` (S, d): the ``last`` token's, or
    the ``mean`` over the prompt.
    """

    shapes: ClassVar[Mapping[str, str]] = {
        "keys": "S n o",
        "rotation": "S n r o",
        "weight": "S n r o",
        "bias": "S n r",
        "centre": "S o",
    }

    reads: Site
    pooling: Literal["last", "mean"]
    similarity: float
    keys: Tensor
    rotation: Tensor
    weight: Tensor
    bias: Tensor
    centre: Tensor

    def looks(self, site: Site) -> tuple[Site, ...]:
        return (self.reads,)

    def choose(self, seen: Mapping[Site, Seen], batch: Batch, stream: int, rows: Tensor) -> Tensor:
        """The fact whose module acts on a row."""
        there = torch.nonzero(self.keys[stream].any(-1))[:, 0]
        if not len(there):
            return torch.full_like(rows, -1)
        states = seen[self.reads].y[rows].to(self.keys.dtype)
        query = normalize(pooled(states, batch.select(rows), self.pooling) - self.centre[stream], dim=-1)
        cosine, at = (query @ self.keys[stream, there].mT).max(1)
        return torch.where(cosine >= self.similarity, there[at], -1)

    def edited(self, x: Tensor, y: Tensor, batch: Batch, decision: Tensor) -> Tensor:
        rotation, weight, bias = (t[batch.stream, decision] for t in (self.rotation, self.weight, self.bias))
        h = y.to(rotation.dtype)
        return y + torch.baddbmm(bias[:, None], h, (weight - rotation).mT) @ rotation


def pooled(states: Tensor, batch: Batch, pooling: str) -> Tensor:
    """What stands for each row's prompt (B, d) of ``states`` (B, T, d): its last token's, or the mean over its tokens."""
    if pooling == "last":
        return states[torch.arange(len(states), device=states.device), batch.prompt - 1 - batch.base]
    return mean_over(states, batch.prompts)


@register
class Rilke(Method):
    """One module a fact; all facts of all streams are trained side by side."""

    name = "rilke"
    settings: Settings

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self._centre = Remembered[Tensor]()

    def check(self, engine: Engine, context: Context) -> None:
        check_subspace(engine, self.settings)
        if engine.model.layer(self.settings.reads) > site_of(engine, self.settings).layer:
            raise UserError(
                f"reads is {self.settings.reads}, a later block than layer {self.settings.layer}: what a module acts on is "
                "decided by then, so give an earlier one or the same."
            )

    def lengths(self, engine: Engine, request: Request, context: Context) -> Sequence[int]:
        return row_lengths(engine, request, self.settings.contexts)

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        site = site_of(engine, self.settings)
        owners = [s for s, batch in enumerate(batches) for _ in batch]
        requests = [request for batch in batches for request in batch]
        trained, fit = fit_alone(engine, requests, self.settings, context, where_of(self.settings))
        turns = Turns(batches)
        turns.note(owners, requests, fit)
        keys = self._keys(engine, [request.prompt for request in requests])
        facts = self._facts(state, site, len(batches))
        for n, (s, request, error) in enumerate(zip(owners, requests, fit.errors, strict=True)):
            if error is None:
                parts = {"keys": keys[n], **{name: t[n] for name, t in trained.tensors().items()}}
                facts[s] = with_edit(facts[s], Apart(parts, prompt_number(request.prompt)))
        numbers = sum(t[0].numel() for t in trained.tensors().values())
        return Outcome(self._state(engine, facts, site), turns.trainings(), trained=numbers)

    def _keys(self, engine: Engine, prompts: Sequence[str]) -> Tensor:
        """The keys (n, d) of prompts, where modules are."""
        found = self._pooled(engine, prompts) - self._centre_of(engine)
        return normalize(found, dim=-1).to(engine.model.device_at(site_of(engine, self.settings)))

    def _pooled(self, engine: Engine, prompts: Sequence[str]) -> Tensor:
        where = PromptEnds(0, 1) if self.settings.pooling == "last" else WHOLE
        states = hidden_states(engine, prompts, Site(engine.model.layer(self.settings.reads)), where)
        return torch.stack([own.mean(0) for own in states])

    def _centre_of(self, engine: Engine) -> Tensor:
        """The mean (d,) over the pool's prompts that have nothing to do with any edit; zeros if it is not taken off."""

        def make() -> Tensor:
            mean = self._pooled(engine, unrelated_prompts(engine)).mean(0)
            return mean if self.settings.centre else torch.zeros_like(mean)

        return self._centre.of((engine,), make)

    def _facts(self, state: EditState | None, site: Site, count: int) -> list[list[Apart]]:
        """The facts of each stream so far: the key and the module of each."""
        known = deltas_of(state).get(site)
        if state is None or not isinstance(known, Modules):
            return [[] for _ in range(count)]
        tensors = {name: t for name, t in known.tensors().items() if name != "centre"}
        return kept_apart(tensors, known.keys.any(-1), state)

    def _state(self, engine: Engine, facts: Sequence[Sequence[Apart]], site: Site) -> EditState:
        width, rank = engine.model.hidden_size, self.settings.rank
        sizes = {"keys": (width,), "rotation": (rank, width), "weight": (rank, width), "bias": (rank,)}
        centre = self._centre_of(engine).to(engine.model.device_at(site))

        def stacked(name: str) -> Tensor:
            return padded_vectors([[fact.parts[name] for fact in own] for own in facts], sizes[name], centre)

        delta = Modules(
            where_of(self.settings),
            Site(engine.model.layer(self.settings.reads)),
            self.settings.pooling,
            self.settings.similarity,
            **{name: stacked(name) for name in sizes},
            centre=centre.repeat(len(facts), 1),
        )
        return EditState(len(facts), {site: delta}, prompts_of(facts))
