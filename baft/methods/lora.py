"""LoRA (Hu et al., 2022) on the attention projections of every block."""

from __future__ import annotations

from baft.engine.engine import Engine
from baft.engine.fitting import Schedule, minimise
from baft.engine.state import EditState
from baft.methods.adapters import adapted, check_adapters, low_rank, low_rank_start, outcome
from baft.methods.base import Batches, Context, Method, Outcome
from baft.methods.registry import register
from baft.methods.rows import edit_rows
from baft.methods.settings.lora import Settings


@register
class Lora(Method):
    """(x Vᵀ) U at the attention projections, V drawn as PEFT draws it and U = 0 at the start."""

    name = "lora"
    settings: Settings

    def check(self, engine: Engine, context: Context) -> None:
        check_adapters(engine, self.settings.first, self.settings.rank)

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        own, sites = self.settings, adapted(engine, self.settings.first)
        scale = own.alpha / own.rank
        fit = minimise(
            engine.model,
            edit_rows(engine, batches),
            low_rank_start(engine, batches, sites, own.rank, scale, state, context),
            lambda params: low_rank(params, sites, scale),
            Schedule(own.steps, own.lr, own.tolerance),
            engine.pad,
        )
        return outcome(engine, low_rank(fit.params, sites, scale), fit)
