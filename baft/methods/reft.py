"""LoReFT (Wu et al., 2024): low-rank linear subspace representation fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from baft.engine.engine import Engine
from baft.engine.fitting import cross_entropy
from baft.engine.state import EditState
from baft.methods.base import Batches, Context, Method, Outcome, Request
from baft.methods.registry import register
from baft.methods.rows import row_lengths
from baft.methods.settings.reft import Settings
from baft.methods.subspace import check_subspace, fit_subspace, initial, outcome, plain, site_of, where_of


@register
class Reft(Method):
    """h + Rᵀ(W h + b − R h) at the output of one block, at prompt positions only."""

    name = "reft"
    settings: Settings

    def check(self, engine: Engine, context: Context) -> None:
        check_subspace(engine, self.settings)

    def lengths(self, engine: Engine, request: Request, context: Context) -> Sequence[int]:
        return row_lengths(engine, request, self.settings.contexts)

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        settings, site = self.settings, site_of(engine, self.settings)
        delta = partial(plain, where_of(settings))
        params = initial(engine, batches, state, context, settings.rank, site)
        trained, fit = fit_subspace(engine, batches, settings, params, delta, cross_entropy)
        return outcome(site, trained, fit)
