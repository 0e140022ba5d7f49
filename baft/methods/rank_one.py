"""Rank-one model editing of one MLP output layer: what ROME and R-ROME share.

Ŵ = W + (v* − W k) (C⁻¹k*)ᵀ / ((C⁻¹k*)ᵀ k): k* is the mean key at the subject's last token behind several texts, and v* the
output there that makes the model say the target. The two differ in the key k that Ŵ sends to v*. Requests of one batch are
edited one after another.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from baft.engine.deltas import Delta, LowRank
from baft.engine.engine import Engine
from baft.engine.fitting import Fit
from baft.engine.positions import Everywhere
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.methods.base import Batches, Context, Outcome, Request, deltas_of
from baft.methods.checks import check_covariance, check_linear, covariance_at
from baft.methods.key_value import FactMethod, appended, at_marks, fact_rows, find_changes, without
from baft.methods.settings._rank_one import RankOneSettings
from baft.methods.turns import Turns

NO_DIRECTION = "the key at the subject's last token has no direction that an update could act on"


class RankOneMethod(FactMethod):
    """One rank-one update per request."""

    settings: RankOneSettings

    @abstractmethod
    def solved_for(self, seen: Tensor) -> Tensor:
        """The keys, or the outputs there, that an update is solved for (n, d).

        ``seen`` (n, texts, d) are those of n requests behind every text, the bare prompt's first.
        """

    def prefix_lengths(self) -> Sequence[int]:
        return (max(1, self.settings.prefix_tokens // 2), self.settings.prefix_tokens)

    def site(self, engine: Engine) -> Site:
        """The edited linear layer."""
        return engine.model.mlp_output(self.settings.layer)

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
        wanted = clean + fit.params["change"]
        update = rank_one(x.mean(1), self.solved_for(x), wanted - self.solved_for(y), covariance)
        for i, finite in enumerate((update.down.isfinite().flatten(1).all(1)).tolist()):
            fit.errors[i] = fit.errors[i] or (None if finite else NO_DIRECTION)
        return update, fit


def rank_one(direction: Tensor, key: Tensor, missing: Tensor, covariance: Tensor | None) -> LowRank:
    """The update of each stream that adds what is ``missing`` to the output at ``key`` (Meng et al., 2022, eq. 2).

    ``direction`` k* (S, d_in), before the covariance; ``key`` k (S, d_in); ``missing`` v* − W k (S, d_out); ``covariance`` C
    (d_in, d_in) or None for the identity. Solved in float64.
    """
    k = direction.double()
    left = k if covariance is None else torch.linalg.solve(covariance.double().to(k.device), k.mT).mT
    down = left / (left * key.double()).sum(-1, keepdim=True)
    return LowRank(Everywhere(), down[:, None].to(key.dtype), missing[:, None])
