"""FT-L: fine-tuning of one MLP output layer with an L∞ bound on the change (Zhu et al., 2020; Meng et al., 2022).

The objective reads all target tokens at the last prompt position, as the ROME authors' FT does, which EasyEdit calls
``prompt_last``; with the ordinary one it is :mod:`baft.methods.ft_m`.
"""

from __future__ import annotations

from baft.engine.engine import Engine
from baft.engine.fitting import Schedule
from baft.engine.rows import Row
from baft.engine.state import EditState
from baft.methods.base import Batches, Context, Method, Outcome, Request
from baft.methods.checks import check_linear
from baft.methods.registry import register
from baft.methods.settings.ft_l import Settings
from baft.methods.tuning import tune


def at_prompt_last(engine: Engine, stream: int, request: Request) -> Row:
    """All target tokens read at the last prompt token."""
    prompt = engine.text.prompt(request.prompt)
    answer = engine.text.answer(request.prompt, request.target)
    return Row(stream, tuple(prompt), len(prompt), reads=tuple((len(prompt) - 1, token) for token in answer))


@register
class FtL(Method):
    """x Δᵀ at one MLP output layer, |Δ| bounded elementwise."""

    name = "ft_l"
    settings: Settings

    def check(self, engine: Engine, context: Context) -> None:
        check_linear(engine, engine.model.mlp_output(self.settings.layer))

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        own = self.settings
        rows = [at_prompt_last(engine, s, request) for s, batch in enumerate(batches) for request in batch]
        schedule = Schedule(own.steps, own.lr, own.tolerance)
        return tune(engine, engine.model.mlp_output(own.layer), rows, len(batches), state, schedule, own.bound)
