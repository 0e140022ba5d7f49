"""What the methods share that train low-rank adapters beside the attention projections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from baft.engine.adam import Adam
from baft.engine.deltas import LowRank, WeightChange
from baft.engine.engine import Engine
from baft.engine.fitting import Fit, Params, Schedule, minimise
from baft.engine.positions import Everywhere
from baft.engine.sgd import Optimiser
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.methods.base import Batches, Context, Method, Outcome, deltas_of, per_stream, trainings_of
from baft.methods.checks import check_linear, check_rank
from baft.methods.rows import edit_rows
from baft.methods.settings._adapters import AdapterSettings


class AdapterMethod(Method):
    """Base of methods with an adapter at each attention projection from one block on."""

    settings: AdapterSettings

    def check(self, engine: Engine, context: Context) -> None:
        check_rank("rank", self.settings.rank, engine.model.hidden_size)
        for site in self.sites(engine):
            check_linear(engine, site)

    def sites(self, engine: Engine) -> list[Site]:
        """The adapted layers, in order of depth."""
        start, names = engine.model.layer(self.settings.first), engine.model.architecture.attention
        return [Site(layer, name) for layer in range(start, len(engine.model.blocks)) for name in names]


class LowRankMethod(AdapterMethod):
    """(x Vᵀ) U at the attention projections, V drawn as PEFT draws it and U = 0 at the start."""

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        own, sites = self.settings, self.sites(engine)
        scale = own.alpha / own.rank
        fit = minimise(
            engine.model,
            edit_rows(engine, batches),
            low_rank_start(engine, batches, sites, own.rank, scale, state, context),
            lambda params: low_rank(params, sites, scale),
            Schedule(own.steps, own.lr, own.tolerance, least=self.least_steps()),
            engine.pad,
            optimiser=self.optimiser,
        )
        return outcome(low_rank(fit.params, sites, scale), fit)

    def least_steps(self) -> int:
        """Steps before which no stream ends."""
        return 0

    def optimiser(self, params: Params, lr: float | Mapping[str, float]) -> Optimiser:
        """What takes the steps."""
        return Adam(params, lr)


def low_rank(params: Mapping[str, Tensor], sites: Sequence[Site], scale: float) -> dict[Site, LowRank]:
    """The deltas of parameters ``down …`` A (S, r, d_in) and ``up …`` Bᵀ (S, r, d_out): ``scale`` B A x."""
    return {s: LowRank(Everywhere(), params[f"down {s}"], scale * params[f"up {s}"]) for s in sites}


def low_rank_start(
    engine: Engine,
    batches: Batches,
    sites: Sequence[Site],
    rank: int,
    scale: float,
    state: EditState | None,
    context: Context,
) -> Params:
    """The parameters of :func:`low_rank` to begin with: A as PEFT draws it and B = 0, or the stream's own so far."""
    widths = [engine.model.widths(site)[0] for site in sites]
    downs = drawn(engine, batches, sites, widths, context, lambda width, g: _as_peft(rank, width, g))
    params: Params = {}
    for site, down in zip(sites, downs, strict=True):
        previous = deltas_of(state).get(site)
        known = LowRank(Everywhere(), down, down.new_zeros(len(batches), rank, engine.model.widths(site)[1]))
        if state is not None and isinstance(previous, LowRank):
            known = previous.filled(known.tensors(), ~state.edited)
        params[f"down {site}"], params[f"up {site}"] = known.down, known.up / scale
    return params


def drawn(
    engine: Engine,
    batches: Batches,
    sites: Sequence[Site],
    widths: Sequence[int],
    context: Context,
    draw: Callable[[int, torch.Generator], Tensor],
) -> list[Tensor]:
    """For each site what ``draw`` gives for its width, (S, r, width), with one generator a stream for all sites."""

    def whole(generator: torch.Generator) -> Tensor:
        return torch.cat([draw(width, generator) for width in widths], 1)

    parts = torch.split(per_stream(batches, context, whole), list(widths), dim=2)
    return [
        part.to(engine.model.device_at(site), engine.model.precision).contiguous()
        for site, part in zip(sites, parts, strict=True)
    ]


def outcome(deltas: Mapping[Site, WeightChange], fit: Fit) -> Outcome:
    """The outcome of training adapters, which may leave some weights of their layers as they are."""
    changed = [
        sum(int(torch.count_nonzero(delta.matrix(stream))) for delta in deltas.values())
        for stream in range(len(fit.steps))
    ]
    trained = sum(p[0].numel() for p in fit.params.values())
    return Outcome(EditState(len(fit.steps), deltas), trainings_of(fit), trained, changed)


def _as_peft(rank: int, width: int, generator: torch.Generator) -> Tensor:
    return torch.empty(rank, width, dtype=torch.float32).uniform_(-(width**-0.5), width**-0.5, generator=generator)
