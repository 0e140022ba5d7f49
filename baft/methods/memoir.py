"""MEMOIR (Wang et al., 2025): edits in a memory beside one MLP output layer, each of which reads a part of its inputs.

The layer answers W x + M (m ∘ x), with the memory M of all edits and a mask m of one of them. The inputs that stand out most
in the mean over a prompt are its fingerprint; the mask is the fingerprint in a random order, so that edits are spread over
the whole memory. A prompt has the edit whose fingerprint shares most with its own, if they share enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from baft.engine.deltas import Choosing, Delta, Dense, Seen
from baft.engine.engine import Engine
from baft.engine.fitting import Fit, Losses, Reading, Schedule, minimise
from baft.engine.positions import Everywhere
from baft.engine.rows import Batch, mean_over
from baft.engine.sgd import Sgd
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.methods.base import Batches, Context, Method, Outcome, Remembered, Request, deltas_of, generator
from baft.methods.checks import check_linear
from baft.methods.irrelevant import unrelated_prompts
from baft.methods.registry import register
from baft.methods.rows import edit_rows, prompt_rows, row_lengths
from baft.methods.settings.memoir import Settings
from baft.methods.side_memory import DECAY, Settling, Texts, activations
from baft.methods.turns import Turns


@dataclass(frozen=True)
class ResidualMemory(Choosing):
    """M (m ∘ x) at all tokens, with the mask of the edit whose fingerprint shares most with a prompt's, if any.

    ``memory`` M is (S, d_out, d_in). ``fingerprints`` (S, n, d_in) are 1 at the inputs that stand out in an edit's prompt
    and 0 elsewhere, 0 everywhere where a stream has no such edit; input j of its mask is input ``order``_j, (S, d_in)
    int64, of its fingerprint. ``centre`` (S, d_in) is what inputs are elsewhere. An edit acts where a prompt's fingerprint
    has at least a share ``threshold`` of its own.
    """

    shapes: ClassVar[Mapping[str, str]] = {
        "memory": "S o i",
        "fingerprints": "S n i",
        "order": "S i",
        "centre": "S i",
    }

    threshold: float
    memory: Tensor
    fingerprints: Tensor
    order: Tensor
    centre: Tensor

    def choose(self, seen: Mapping[Site, Seen], batch: Batch, stream: int, rows: Tensor) -> Tensor:
        """The edit of a row."""
        ((_, here),) = seen.items()
        there = torch.nonzero(self.fingerprints[stream].any(-1))[:, 0]
        if not len(there):
            return torch.full_like(rows, -1)
        known = self.fingerprints[stream, there]
        count = int(known[0].sum())
        x = here.x[rows].to(known.dtype)
        shared, at = (fingerprints(x, batch.prompts[rows], self.centre[stream], count) @ known.mT).max(1)
        return torch.where(shared >= self.threshold * count, there[at], -1)

    def edited(self, x: Tensor, y: Tensor, batch: Batch, decision: Tensor) -> Tensor:
        masks = self.fingerprints[batch.stream, decision].gather(1, self.order[batch.stream])
        read, added = x.to(masks.dtype) * masks[:, None], torch.empty(y.shape, dtype=masks.dtype, device=y.device)
        for stream in torch.unique(batch.stream).tolist():
            rows = torch.nonzero(batch.stream == stream)[:, 0]
            added[rows] = read[rows] @ self.memory[stream].mT
        return y + added


def fingerprints(x: Tensor, tokens: Tensor, centre: Tensor, count: int) -> Tensor:
    """1 at the ``count`` inputs that are farthest from ``centre`` (d_in,) in the mean over a row's ``tokens`` (b, T) bool.

    ``x`` (b, T, d_in) are a layer's inputs: (b, d_in), 0 elsewhere.
    """
    apart = (mean_over(x, tokens) - centre).abs()
    return torch.zeros_like(apart).scatter(1, apart.topk(count, dim=1).indices, 1.0)


@dataclass
class Store:
    """One stream's memory (d_out, d_in) while it is edited, the order of its masks, and its edits' fingerprints."""

    memory: Tensor
    order: Tensor
    fingerprints: list[Tensor]

    def keep(self, memory: Tensor, fingerprint: Tensor) -> None:
        """Takes an edit's training. Of prompts with the same fingerprint, one is kept."""
        self.memory = memory
        if not any(torch.equal(fingerprint, known) for known in self.fingerprints):
            self.fingerprints.append(fingerprint)


@register
class Memoir(Method):
    """Each stream has one memory; requests of a batch are edited one after another."""

    name = "memoir"
    settings: Settings

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self._texts = Texts(settings.prefixes)
        self._centre = Remembered[Tensor]()

    def site(self, engine: Engine) -> Site:
        """The layer with a memory beside it."""
        return engine.model.mlp_output(self.settings.layer)

    def check(self, engine: Engine, context: Context) -> None:
        check_linear(engine, self.site(engine))

    def lengths(self, engine: Engine, request: Request, context: Context) -> Sequence[int]:
        return row_lengths(engine, request, self._texts.of(engine, context.seed))

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        site = self.site(engine)
        stores = self._stores(engine, state, site, len(batches), context)
        turns = Turns(batches)
        for streams, requests in turns:
            own = [stores[s] for s in streams]
            found = self._fingerprints(engine, site, [request.prompt for request in requests])
            fit = self._train(engine, site, requests, own, found, context)
            turns.note(streams, requests, fit)
            for store, memory, fingerprint, error in zip(own, fit.params["memory"], found, fit.errors, strict=True):
                if error is None:
                    store.keep(memory, fingerprint)
        width_in, width_out = engine.model.widths(site)
        return Outcome(self._state(engine, stores, site), turns.trainings(), self._count(width_in) * width_out)

    def _train(
        self,
        engine: Engine,
        site: Site,
        requests: Sequence[Request],
        stores: Sequence[Store],
        found: Tensor,
        context: Context,
    ) -> Fit:
        """Trains one request into each memory, of which it reads what its fingerprint (S, d_in) lets it."""
        masks = torch.stack([own[store.order] for own, store in zip(found, stores, strict=True)])
        settling = Settling(engine, len(requests))

        def build(params: Mapping[str, Tensor]) -> dict[Site, Delta]:
            # The gradient reaches only what the mask lets through; weight decay is the optimiser's, and reaches all.
            return {site: Dense(Everywhere(), params["memory"] * params["mask"])}

        def objective(reading: Reading, deltas: Mapping[Site, Delta]) -> Losses:
            total = reading.nll()
            return Losses(total, total, settling.ended(total, reading.streams))

        decay = DECAY if self.settings.decay == "published" else 0.0
        return minimise(
            engine.model,
            edit_rows(engine, [[request] for request in requests], self._texts.of(engine, context.seed)),
            {"memory": torch.stack([store.memory for store in stores])},
            build,
            Schedule(self.settings.steps, self.settings.lr),
            engine.pad,
            objective,
            fixed={"mask": masks[:, None]},
            optimiser=partial(Sgd, decay=decay, longest=self.settings.longest),
        )

    def _count(self, width: int) -> int:
        """How many of ``width`` inputs an edit reads."""
        return max(1, round(self.settings.share * width))

    def _fingerprints(self, engine: Engine, site: Site, prompts: Sequence[str]) -> Tensor:
        """The fingerprints (n, d_in) of prompts, which do not depend on edits: the memory comes after what is read."""
        x, _, tokens = activations(engine, site, prompt_rows(engine, prompts))
        return fingerprints(x, tokens, self._centre_of(engine, site), self._count(x.shape[-1]))

    def _centre_of(self, engine: Engine, site: Site) -> Tensor:
        """The mean (d_in,) over prompts that have nothing to do with any edit, each weighing the same."""

        def make() -> Tensor:
            x, _, tokens = activations(engine, site, prompt_rows(engine, unrelated_prompts(engine)))
            return mean_over(x, tokens).mean(0)

        return self._centre.of((engine, site), make)

    def _stores(self, engine: Engine, state: EditState | None, site: Site, count: int, context: Context) -> list[Store]:
        width_in, width_out = engine.model.widths(site)
        place, precision = engine.model.device_at(site), engine.model.precision
        memory = torch.zeros(width_out, width_in, dtype=precision, device=place)
        order = torch.randperm(width_in, generator=generator("memoir order", context.seed)).to(place)
        known = deltas_of(state).get(site)
        stores = []
        for s in range(count):
            if isinstance(known, ResidualMemory) and (there := known.fingerprints[s].any(-1)).any():
                stores.append(Store(known.memory[s], known.order[s], list(known.fingerprints[s, there])))
            else:
                stores.append(Store(memory, order, []))
        return stores

    def _state(self, engine: Engine, stores: Sequence[Store], site: Site) -> EditState:
        centre = self._centre_of(engine, site)
        none = centre.new_zeros(0, len(centre))
        known = [torch.stack(store.fingerprints) if store.fingerprints else none for store in stores]
        delta = ResidualMemory(
            Everywhere(),
            self.settings.threshold,
            torch.stack([store.memory for store in stores]),
            pad_sequence(known, batch_first=True),
            torch.stack([store.order for store in stores]),
            centre.repeat(len(stores), 1),
        )
        return EditState(len(stores), {site: delta})
