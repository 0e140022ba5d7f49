"""What ReFT and BaFT share: the orthonormal basis, and the training of a subspace edit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from baft.engine.deltas import Subspace
from baft.engine.engine import Engine
from baft.engine.fitting import Fit, Objective, Params, Schedule, cross_entropy, minimise
from baft.engine.positions import PromptEnds, Where
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.methods.base import Batches, Context, Outcome, Request, deltas_of, per_stream, trainings_of
from baft.methods.checks import check_rank
from baft.methods.rows import edit_rows
from baft.methods.settings._subspace import SubspaceSettings

KEPT = "kept "
"""Before the names of the tensors of bases that stay as they are."""


def site_of(engine: Engine, settings: SubspaceSettings) -> Site:
    """The block output that is edited."""
    return Site(engine.model.layer(settings.layer))


def check_subspace(engine: Engine, settings: SubspaceSettings) -> None:
    """Raises UserError if the model has no such block, or not as many dimensions."""
    site_of(engine, settings)
    check_rank("rank", settings.rank, engine.model.hidden_size)


def where_of(settings: SubspaceSettings) -> PromptEnds:
    """The prompt positions that are edited."""
    return PromptEnds(settings.head, settings.tail)


def orthonormal(basis: Tensor) -> Tensor:
    """Rows of ``basis`` (S, r, d) made orthonormal, differentiably: L⁻¹A with A Aᵀ = L Lᵀ (Cholesky QR)."""
    lower, failed = torch.linalg.cholesky_ex(basis @ basis.mT)
    # A basis that has lost its rank makes its own stream's loss not finite, and stops no other.
    lower = lower.masked_fill((failed > 0)[..., None, None], torch.nan)
    rows: Tensor = torch.linalg.solve_triangular(lower, basis, upper=False)
    return rows


def initial(
    engine: Engine, batches: Batches, state: EditState | None, context: Context, rank: int, site: Site
) -> Params:
    """LoReFT's parameters: a random orthonormal basis, W and b as ``nn.Linear`` draws them; or the stream's own so far."""
    width = engine.model.hidden_size

    def draw(generator: torch.Generator) -> Tensor:
        rotation = torch.linalg.qr(torch.randn(width, rank, dtype=torch.float32, generator=generator))[0].mT
        bound = width**-0.5
        weight = torch.empty(rank, width, dtype=torch.float32).uniform_(-bound, bound, generator=generator)
        bias = torch.empty(rank, 1, dtype=torch.float32).uniform_(-bound, bound, generator=generator)
        return torch.cat([rotation, weight, bias], 1)

    drawn = per_stream(batches, context, draw).to(engine.model.device_at(site), engine.model.precision)
    fresh = {
        "rotation": drawn[..., :width].contiguous(),
        "weight": drawn[..., width : 2 * width].contiguous(),
        "bias": drawn[..., -1].contiguous(),
    }
    previous = deltas_of(state).get(site)
    known = fresh
    if state is not None and isinstance(previous, Subspace):
        known = previous.filled(fresh, ~state.edited).tensors()
    return {"basis": known["rotation"], "weight": known["weight"], "bias": known["bias"]}


def fit_subspace(
    engine: Engine,
    batches: Batches,
    settings: SubspaceSettings,
    params: Params,
    delta: Callable[[Mapping[str, Tensor]], Subspace],
    objective: Objective,
    rates: Mapping[str, float] | None = None,
    kept: Mapping[str, Tensor] | None = None,
) -> tuple[Subspace, Fit]:
    """Trains ``params`` and gives the final delta, its rotation orthonormalised once more in float64.

    ``rates`` are learning rates by parameter; the settings' for all of them unless given. ``kept`` are tensors of earlier
    bases that ``delta`` is given too, their names after :data:`KEPT`; they stay as they are.
    """
    site = site_of(engine, settings)
    fit = minimise(
        engine.model,
        edit_rows(engine, batches, settings.contexts),
        params,
        lambda current: {site: delta(current)},
        Schedule(settings.steps, rates or settings.lr, settings.tolerance),
        engine.pad,
        objective,
        fixed=kept,
    )
    basis = fit.params["basis"]
    exact = {**fit.params, "basis": orthonormal(basis.double()).to(basis.dtype)}
    return delta({**(kept or {}), **exact}), fit


def plain(where: Where, params: Mapping[str, Tensor]) -> Subspace:
    """LoReFT's delta of the parameters of :func:`initial`."""
    return Subspace(where, orthonormal(params["basis"]), params["weight"], params["bias"])


def fit_alone(
    engine: Engine, requests: Sequence[Request], settings: SubspaceSettings, context: Context, where: Where
) -> tuple[Subspace, Fit]:
    """A LoReFT edit for each of n ``requests``, as if it were the only one: the delta of n streams, and how it went."""
    alone = [[request] for request in requests]
    params = initial(engine, alone, None, context, settings.rank, site_of(engine, settings))
    return fit_subspace(engine, alone, settings, params, lambda current: plain(where, current), cross_entropy)


def outcome(site: Site, delta: Subspace, fit: Fit, memory: Mapping[str, Tensor] | None = None) -> Outcome:
    """The outcome of a subspace edit; none of the model's weights change."""
    state = EditState(len(fit.steps), {site: delta}, dict(memory or {}))
    return Outcome(state, trainings_of(fit), trained=sum(p[0].numel() for p in fit.params.values()))
