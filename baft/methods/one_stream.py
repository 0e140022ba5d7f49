"""A plain way to write a method: edit one stream at a time, and leave many streams to the base class.

Such a method is slower than one that edits its streams side by side, and gives the same; once it is right it can be its own
test when it is made fast.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from baft.engine.engine import Engine
from baft.engine.state import EditState
from baft.methods.base import Batches, Context, Method, Outcome, Request


class OneStreamMethod(Method):
    """A method that knows of one stream only."""

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        outcomes = []
        for s, batch in enumerate(batches):
            begun = state is not None and bool(state.edited[s])
            earlier = state.select([s]) if state is not None and begun else None
            outcomes.append(self.edit_stream(engine, batch, earlier, context))
        return Outcome.join(outcomes)

    @abstractmethod
    def edit_stream(
        self, engine: Engine, requests: Sequence[Request], state: EditState | None, context: Context
    ) -> Outcome:
        """Edits one stream with ``requests``, all of them together, going on from ``state`` (None: the unedited model).

        The outcome has a state and a report of one stream. Requests that :meth:`refusal` refuses are not among them. Where
        the edit did not work out, the report has an error, and the stream is left as it was.
        """
