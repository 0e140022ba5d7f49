"""FT-M: fine-tuning of one MLP output layer on the cross-entropy of the target (Zhang et al., 2024).

It is :mod:`baft.methods.ft_l` with the ordinary objective, each target token read behind those before it (EasyEdit's
``target_new``), and without a bound.
"""

from __future__ import annotations

from baft.engine.engine import Engine
from baft.engine.fitting import Schedule
from baft.engine.state import EditState
from baft.methods.base import Batches, Context, Method, Outcome
from baft.methods.checks import check_linear
from baft.methods.registry import register
from baft.methods.rows import edit_rows
from baft.methods.settings.ft_m import Settings
from baft.methods.tuning import tune


@register
class FtM(Method):
    """x Δᵀ at one MLP output layer."""

    name = "ft_m"
    settings: Settings

    def check(self, engine: Engine, context: Context) -> None:
        check_linear(engine, engine.model.mlp_output(self.settings.layer))

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        own = self.settings
        schedule = Schedule(own.steps, own.lr, own.tolerance)
        rows = edit_rows(engine, batches)
        return tune(engine, engine.model.mlp_output(own.layer), rows, len(batches), state, schedule, own.bound)
