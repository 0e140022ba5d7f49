"""LoRA (Hu et al., 2022) on the attention projections of every block."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from baft.engine.deltas import Delta, LowRank
from baft.engine.engine import Engine
from baft.engine.fitting import Params, Schedule, minimise
from baft.engine.positions import Everywhere
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.methods.base import Batches, Context, Method, Outcome, deltas_of, per_stream, trainings_of
from baft.methods.checks import check_linear, check_rank
from baft.methods.registry import register
from baft.methods.rows import edit_rows
from baft.methods.settings.lora import Settings


@register
class Lora(Method):
    """(x Vᵀ) U at the attention projections, V drawn as PEFT draws it and U = 0 at the start."""

    name = "lora"
    settings: Settings

    def sites(self, engine: Engine) -> list[Site]:
        """The adapted layers, in order of depth."""
        first = engine.model.layer(self.settings.first)
        names = engine.model.architecture.attention
        return [Site(layer, name) for layer in range(first, len(engine.model.blocks)) for name in names]

    def check(self, engine: Engine, context: Context) -> None:
        check_rank("rank", self.settings.rank, engine.model.hidden_size)
        for site in self.sites(engine):
            check_linear(engine, site)

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        settings, sites, where = self.settings, self.sites(engine), Everywhere()
        scale = settings.alpha / settings.rank

        def build(params: Mapping[str, Tensor]) -> dict[Site, Delta]:
            return {s: LowRank(where, params[f"down {s}"], scale * params[f"up {s}"]) for s in sites}

        fit = minimise(
            engine.model,
            edit_rows(engine, batches),
            self._initial(engine, batches, sites, state, context),
            build,
            Schedule(settings.steps, settings.lr, settings.tolerance),
            engine.pad,
        )
        widths = [engine.model.widths(site) for site in sites]
        trained = settings.rank * sum(a + b for a, b in widths)
        state = EditState(len(batches), build(fit.params))
        return Outcome(state, trainings_of(fit), trained, sum(a * b for a, b in widths))

    def _initial(
        self, engine: Engine, batches: Batches, sites: list[Site], state: EditState | None, context: Context
    ) -> Params:
        scale, rank = self.settings.alpha / self.settings.rank, self.settings.rank
        widths = [engine.model.widths(site) for site in sites]

        def draw(generator: torch.Generator) -> Tensor:
            parts = [torch.empty(rank, a).uniform_(-(a**-0.5), a**-0.5, generator=generator) for a, _ in widths]
            return torch.cat(parts, 1)

        drawn = torch.split(per_stream(batches, context, draw), [a for a, _ in widths], dim=2)
        params: Params = {}
        for site, part, (_, width) in zip(sites, drawn, widths, strict=True):
            down = part.to(engine.model.device_at(site), engine.model.precision).contiguous()
            previous = deltas_of(state).get(site)
            known = LowRank(Everywhere(), down, down.new_zeros(len(batches), rank, width))
            if state is not None and isinstance(previous, LowRank):
                known = previous.filled(known.tensors(), ~state.edited)
            params[f"down {site}"], params[f"up {site}"] = known.down, known.up / scale
        return params
