"""FT-L: fine-tuning of one MLP output layer with an L∞ bound on the change (Zhu et al., 2020; Meng et al., 2022).

Two objectives go by this name. ``prompt_last`` reads all target tokens at the last prompt position, as the ROME authors'
FT code does; ``target_new`` is the ordinary masked cross-entropy (EasyEdit's FT-M).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from baft.engine.deltas import Dense
from baft.engine.engine import Engine
from baft.engine.fitting import Params, Schedule, minimise
from baft.engine.positions import Everywhere
from baft.engine.rows import Row
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.methods.base import Batches, Context, Method, Outcome, Request, Training, deltas_of
from baft.methods.checks import check_linear
from baft.methods.registry import register
from baft.methods.rows import forced_row
from baft.methods.settings.ft_l import Settings


def at_prompt_last(engine: Engine, stream: int, request: Request) -> Row:
    """All target tokens read at the last prompt token."""
    prompt = engine.text.prompt(request.prompt)
    answer = engine.text.answer(request.prompt, request.target)
    return Row(stream, tuple(prompt), len(prompt), reads=tuple((len(prompt) - 1, token) for token in answer))


_ROWS: Mapping[str, Callable[[Engine, int, Request], Row]] = {"prompt_last": at_prompt_last, "target_new": forced_row}


@register
class FtL(Method):
    """x Δᵀ at one MLP output layer, |Δ| bounded elementwise."""

    name = "ft_l"
    settings: Settings

    def site(self, engine: Engine) -> Site:
        """The tuned layer."""
        return Site(engine.model.layer(self.settings.layer), engine.model.architecture.mlp_down)

    def check(self, engine: Engine, context: Context) -> None:
        check_linear(engine, self.site(engine))

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        settings, site = self.settings, self.site(engine)
        width_in, width_out = engine.model.widths(site)
        row = _ROWS[settings.objective]
        where = Everywhere()

        def bound(params: Params, streams: Tensor) -> None:
            if settings.bound:
                params["change"].clamp_(-settings.bound, settings.bound)

        fit = minimise(
            engine.model,
            [row(engine, s, request) for s, batch in enumerate(batches) for request in batch],
            {
                "change": torch.zeros(
                    len(batches),
                    width_out,
                    width_in,
                    dtype=engine.model.precision,
                    device=engine.model.device_at(site),
                )
            },
            lambda params: {site: Dense(where, params["change"])},
            Schedule(settings.steps, settings.lr, settings.tolerance),
            engine.pad,
            constrain=bound,
            standing=deltas_of(state),
        )
        previous = deltas_of(state).get(site)
        change = fit.params["change"]
        if isinstance(previous, Dense):
            change = previous.change + change
        trainings = tuple(Training(s, v, e) for s, v, e in zip(fit.steps, fit.loss, fit.errors, strict=True))
        numbers = width_in * width_out
        return Outcome(EditState(len(batches), {site: Dense(where, change)}), trainings, numbers, numbers)
