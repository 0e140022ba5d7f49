"""Many facts at once, in the MLP output layers of several blocks: what MEMIT and AlphaEdit share.

For each fact the output of the last of these blocks that makes the model say the target is found. What is missing there is
then made up for layer by layer, the lowest first, each by one least change of its weights for all facts of a batch.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from baft.engine.deltas import Delta, LowRank
from baft.engine.engine import Engine
from baft.engine.fitting import Fit
from baft.engine.positions import Everywhere
from baft.engine.rows import Row
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.methods.base import Batches, Context, Outcome, Request, Training, deltas_of
from baft.methods.checks import check_covariance, check_linear, covariance_at
from baft.methods.key_value import FactMethod, Lent, appended, at_marks, fact_rows, find_changes
from baft.methods.settings._layerwise import LayerwiseSettings
from baft.methods.turns import each_alone


@dataclass(frozen=True)
class Facts:
    """Requests of ``count`` streams in one row; ``streams`` says whose each is."""

    requests: tuple[Request, ...]
    streams: tuple[int, ...]
    count: int

    @staticmethod
    def of(batches: Batches) -> Facts:
        """All of the batches of streams 0 …"""
        return Facts(
            tuple(request for batch in batches for request in batch),
            tuple(s for s, batch in enumerate(batches) for _ in batch),
            len(batches),
        )

    def select(self, index: Sequence[int]) -> Facts:
        """Some of them, of as many streams."""
        return Facts(tuple(self.requests[i] for i in index), tuple(self.streams[i] for i in index), self.count)

    def rows(self, engine: Engine, texts: Sequence[str]) -> list[Row]:
        """Each request's prompt behind each of ``texts``, with the target forced and the subject's last token marked."""
        pairs = zip(self.streams, self.requests, strict=True)
        return [row for stream, request in pairs for row in fact_rows(engine, stream, request, texts)]

    def by_stream(self, values: Tensor) -> Tensor:
        """From one row a request (N, d) to those of each stream (S, n, d), zeros where a stream has fewer than the most."""
        place = [self.streams[:i].count(s) for i, s in enumerate(self.streams)]
        whole = values.new_zeros(self.count, max(place) + 1, values.shape[1])
        whole[list(self.streams), place] = values
        return whole


class LayerwiseMethod(FactMethod):
    """One update of each layer for all requests of a batch."""

    settings: LayerwiseSettings

    def __init__(self, settings: Any):
        super().__init__(settings)
        # By site the covariance that was last used, and what `root` made of it.
        self._roots: dict[Site, tuple[Tensor | None, Tensor]] = {}

    @property
    @abstractmethod
    def strength(self) -> float:
        """How strongly what is not edited is kept: λ > 0 of :func:`least_change`."""

    @abstractmethod
    def root(self, covariance: Tensor | None, width: int) -> Tensor:
        """B of :func:`least_change` (``width``, r), float64, given the keys' covariance; None where none is needed."""

    def sites(self, engine: Engine) -> tuple[Site, ...]:
        """The edited linear layers, lowest first; settings that name the same block count once."""
        return tuple(sorted({engine.model.mlp_output(layer) for layer in self.settings.layers}))

    def check(self, engine: Engine, context: Context) -> None:
        for site in self.sites(engine):
            width, _ = check_linear(engine, site)
            if self.settings.needs().covariances:
                check_covariance(context.covariances, site, width)

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        sites = self.sites(engine)
        deltas, memory = dict(deltas_of(state)), dict(state.memory if state is not None else {})
        facts = Facts.of(batches)
        wanted, fit = self._values(engine, facts, Site(sites[-1].layer), deltas, context)
        well = [i for i, error in enumerate(fit.errors) if error is None]
        if well:
            self._insert(engine, facts.select(well), wanted[well], deltas, memory, context)
        trainings = tuple(_training(facts, fit, s) for s in range(len(batches)))
        changed = sum(math.prod(engine.model.widths(site)) for site in sites)
        return Outcome(EditState(len(batches), deltas, memory), trainings, engine.model.hidden_size, changed)

    def _values(
        self, engine: Engine, facts: Facts, top: Site, deltas: Mapping[Site, Delta], context: Context
    ) -> tuple[Tensor, Fit]:
        """The output of block ``top`` that each request wants at its subject's last token (N, d), and how it was found."""
        texts = ("", *self.prefixes.of(engine, context.seed))
        clean = at_marks(engine, facts.rows(engine, [""]), top, deltas)[1]

        def work(group: Sequence[int]) -> Fit:
            owner = torch.tensor([facts.streams[i] for i in group])
            return find_changes(
                engine,
                [facts.requests[i] for i in group],
                texts,
                top,
                {site: Lent(delta.where, owner, delta) for site, delta in deltas.items()},
                clean[list(group)],
                self.descent,
                context,
            )

        def weight(i: int) -> int:
            return self.weight(engine, facts.requests[i], context)

        fits = list(engine.budget.run(range(len(facts.requests)), weight, work))
        fit = Fit(
            {"change": torch.cat([part.params["change"] for part in fits])},
            [steps for part in fits for steps in part.steps],
            [loss for part in fits for loss in part.loss],
            [error for part in fits for error in part.errors],
        )
        return clean + fit.params["change"], fit

    def _insert(
        self,
        engine: Engine,
        facts: Facts,
        wanted: Tensor,
        deltas: dict[Site, Delta],
        memory: dict[str, Tensor],
        context: Context,
    ) -> None:
        """Adds to ``deltas`` and ``memory`` what brings the last block's output to ``wanted`` (N, d)."""
        sites = self.sites(engine)
        top, bare = Site(sites[-1].layer), facts.rows(engine, [""])
        everyone = torch.arange(facts.count)
        for left, site in zip(range(len(sites), 0, -1), sites, strict=True):
            missing = wanted - at_marks(engine, bare, top, deltas)[1]
            keys = facts.by_stream(self._keys(engine, facts, site, deltas, context))
            update = least_change(
                keys,
                facts.by_stream(missing / left).to(keys.device),
                self.root_at(context, site, keys.shape[-1], keys.device),
                self.strength,
                self._earlier(memory, site, keys.device),
            )
            deltas[site] = appended(deltas.get(site), update, everyone.to(keys.device), facts.count)
        for site in sites if self.settings.cache else ():
            # Read again, for the weights below have changed.
            keys = facts.by_stream(self._keys(engine, facts, site, deltas, context))
            earlier = self._earlier(memory, site, keys.device)
            memory[_keys_at(site)] = keys if earlier is None else torch.cat([earlier, keys], 1)

    def _earlier(self, memory: Mapping[str, Tensor], site: Site, device: torch.device) -> Tensor | None:
        """The keys of the streams' earlier edits at ``site`` (S, m, d_in), where they are to count."""
        earlier = memory.get(_keys_at(site)) if self.settings.cache else None
        return None if earlier is None else earlier.to(device)

    def _keys(self, engine: Engine, facts: Facts, site: Site, deltas: Mapping[Site, Delta], context: Context) -> Tensor:
        """Of each request the key at ``site`` (N, d_in): half the bare prompt's, half the mean of the others'."""
        texts = ("", *self.prefixes.of(engine, context.seed))
        keys = at_marks(engine, facts.rows(engine, texts), site, deltas)[0]
        keys = keys.reshape(len(facts.requests), len(texts), -1)
        bare, others = keys[:, 0], keys[:, 1:]
        return (bare + others.mean(1)) / 2 if len(texts) > 1 else bare

    def root_at(self, context: Context, site: Site, width: int, device: torch.device) -> Tensor:
        """:meth:`root` at ``site``, on ``device``; made once for each covariance."""
        covariance = covariance_at(context.covariances, site) if self.settings.needs().covariances else None
        known = self._roots.get(site)
        if known is None or known[0] is not covariance or known[1].device != device:
            wide = None if covariance is None else covariance.double().to(device)
            self._roots[site] = known = covariance, self.root(wide, width).to(device)
        return known[1]


def least_change(keys: Tensor, residual: Tensor, root: Tensor, weight: float, earlier: Tensor | None = None) -> LowRank:
    """Each stream's Δ = R Kᵀ (λ A + P Pᵀ + K Kᵀ)⁻¹ with A⁻¹ = B Bᵀ, solved in float64.

    ``keys`` (S, n, d_in) are the columns of K and ``residual`` (S, n, d_out) those of R; ``root`` (d_in, r) is B, ``weight``
    λ > 0, and ``earlier`` (S, m, d_in) the columns of P, if any. With r < d_in it is the limit in which A is without end in
    the directions that B leaves out, so that Δ is 0 there. Rows of zeros change nothing.

    With A the covariance of keys this is eq. 14 of Meng et al. (2023). With B Bᵀ a projection it is Fang et al.'s (2025)
    R Kᵀ Π (P Pᵀ Π + K Kᵀ Π + λ I)⁻¹, Π being theirs.

    Earlier keys are keys with no residual, so that P needs no matrix of its own; and with G = [P K] and R' = [0 R]
    Δ = R' (λ I + Gᵀ B Bᵀ G)⁻¹ Gᵀ B Bᵀ, a system of m + n unknowns instead of d_in.
    """
    streams, count, _ = keys.shape
    every = keys if earlier is None else torch.cat([earlier, keys], 1)
    white = every.double() @ root
    gram = white @ white.mT
    gram.diagonal(dim1=-2, dim2=-1).add_(weight)
    # Not finite keys give a factor that is not finite either, in their own stream: that is told by its delta.
    lower, info = torch.linalg.cholesky_ex(gram)
    lower = lower.masked_fill((info > 0)[:, None, None], math.nan)
    own = torch.eye(every.shape[1], dtype=gram.dtype, device=gram.device)[:, -count:].expand(streams, -1, -1)
    down = (torch.cholesky_solve(own, lower).mT @ white) @ root.mT
    return LowRank(Everywhere(), down.to(keys.dtype), residual)


def _training(facts: Facts, fit: Fit, stream: int) -> Training:
    """That of one stream, the value of each of whose requests was found by itself."""
    own = {i: facts.requests[i] for i, s in enumerate(facts.streams) if s == stream}
    trained = {request.id: (fit.steps[i], fit.loss[i]) for i, request in own.items()}
    failed = {request.id: why for i, request in own.items() if (why := fit.errors[i]) is not None}
    return each_alone(list(own.values()), trained, failed)


def _keys_at(site: Site) -> str:
    """The name under which a state remembers the keys of earlier edits at ``site``."""
    return f"keys {site}"
