"""The unedited model: every table's reference row."""

from __future__ import annotations

from baft.engine.engine import Engine
from baft.engine.state import EditState
from baft.methods.base import Batches, Context, Method, Outcome, Training
from baft.methods.registry import register


@register
class Unedited(Method):
    """Does nothing."""

    name = "none"
    edits = False

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        return Outcome(EditState(len(batches)), tuple(Training() for _ in batches))
