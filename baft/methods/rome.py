"""ROME (Meng et al., 2022): rank-one model editing of one MLP output layer.

Ŵ = W + (v* − W k*) (C⁻¹k*)ᵀ / ((C⁻¹k*)ᵀ k*): k* is the mean input at the subject's last token over sampled prefixes, v* the
output there that makes the model say the target. Requests of one batch are edited one after another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from baft.engine.deltas import Delta, LowRank
from baft.engine.engine import Engine
from baft.engine.fitting import Fit
from baft.engine.positions import Everywhere
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.methods.base import (
    Batches,
    Context,
    Outcome,
    Request,
    deltas_of,
)
from baft.methods.checks import check_covariance, check_linear, covariance_at
from baft.methods.key_value import (
    FactMethod,
    appended,
    at_marks,
    fact_rows,
    find_changes,
    without,
)
from baft.methods.registry import register
from baft.methods.settings.rome import Settings
from baft.methods.turns import Turns

NO_DIRECTION = "the key at the subject's last token has no direction that an update could act on"


@register
class Rome(FactMethod):
    """One rank-one update per request."""

    name = "rome"
    title = "ROME"
    settings: Settings

    def site(self, engine: Engine) -> Site:
        """The edited linear layer."""
        return Site(engine.model.layer(self.settings.layer), engine.model.architecture.mlp_down)

    def check(self, engine: Engine, context: Context) -> None:
        width, _ = check_linear(engine, self.site(engine))
        if self.settings.second_moment:
            check_covariance(context.covariances, self.site(engine), width)

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        site, count = self.site(engine), len(batches)
        deltas: dict[Site, Delta] = dict(deltas_of(state))
        turns = Turns(batches)
        for streams, requests in turns:
            index = torch.tensor(streams, device=engine.model.device_at(site))
            standing = {known: delta.select(index) for known, delta in deltas.items()}
            update, fit = self._edit(engine, requests, site, standing, context)
            turns.note(streams, requests, fit)
            deltas[site] = appended(
                deltas.get(site), without(update, [why is not None for why in fit.errors]), index, count
            )
        widths = engine.model.widths(site)
        return Outcome(EditState(count, deltas), turns.trainings(), trained=widths[1], changed=widths[0] * widths[1])

    def _edit(
        self, engine: Engine, requests: Sequence[Request], site: Site, standing: Mapping[Site, Delta], context: Context
    ) -> tuple[LowRank, Fit]:
        texts = ("", *self.prefixes.of(engine, context.seed))
        rows = [row for s, request in enumerate(requests) for row in fact_rows(engine, s, request, texts)]
        x, y = (t.reshape(len(requests), len(texts), -1) for t in at_marks(engine, rows, site, standing))
        clean = y[:, 0]
        fit = find_changes(engine, requests, texts, site, standing, clean, self.descent, context)
        covariance = covariance_at(context.covariances, site) if self.settings.second_moment else None
        update = rank_one(x.mean(1), y.mean(1), clean + fit.params["change"], covariance)
        for i, finite in enumerate((update.down.isfinite().flatten(1).all(1)).tolist()):
            fit.errors[i] = fit.errors[i] or (None if finite else NO_DIRECTION)
        return update, fit


def rank_one(key: Tensor, value: Tensor, wanted: Tensor, covariance: Tensor | None) -> LowRank:
    """The update of each stream that maps k* to v* (Meng et al., 2022, eq. 2).

    ``key`` k* (S, d_in), ``value`` W k* (S, d_out), ``wanted`` v* (S, d_out), ``covariance`` C (d_in, d_in) or None for the
    identity. Solved in float64.
    """
    k = key.double()
    left = k if covariance is None else torch.linalg.solve(covariance.double().to(k.device), k.mT).mT
    down = left / (left * k).sum(-1, keepdim=True)
    return LowRank(Everywhere(), down[:, None].to(key.dtype), (wanted - value)[:, None])
