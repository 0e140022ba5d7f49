"""An edit of zeros: what the arithmetic of asking an edited model makes of one that is not changed.

The unedited model's answers are taken once, in batches of their own; those of edited models in other batches, through the
edits of their streams. In exact arithmetic this edit would agree with the unedited model throughout. Where it does not, so
much of any method's distance from 100 % locality is rounding.
"""

from __future__ import annotations

import torch

from baft.engine.deltas import LowRank
from baft.engine.engine import Engine
from baft.engine.positions import Everywhere
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.methods.base import Batches, Context, Method, Outcome, Training
from baft.methods.checks import check_linear
from baft.methods.registry import register


@register
class Zero(Method):
    """A rank-one change of zeros at the MLP output layer of the first block, at every token."""

    name = "zero"

    def site(self, engine: Engine) -> Site:
        """Where the zeros are added: any site would do, and the first has all of the model behind it."""
        return engine.model.mlp_output(0)

    def check(self, engine: Engine, context: Context) -> None:
        check_linear(engine, self.site(engine))

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        site = self.site(engine)
        device, dtype = engine.model.device_at(site), engine.model.precision
        down, up = (
            torch.zeros(len(batches), 1, width, dtype=dtype, device=device) for width in engine.model.widths(site)
        )
        return Outcome(
            EditState(len(batches), {site: LowRank(Everywhere(), down, up)}), tuple(Training() for _ in batches)
        )
