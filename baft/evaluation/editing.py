"""One step of editing: a batch of records for each of several streams, so that one bad edit never costs another.

A user's mistake and a fault of the program end the job; only what one edit cannot help (:class:`~baft.errors.EditError`,
or memory that does not suffice for it alone) is reported in its place.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from baft.benchmarks.records import Record
from baft.engine.budget import out_of_memory, release
from baft.engine.engine import Engine
from baft.engine.state import EditState
from baft.errors import EditError, UserError
from baft.methods.base import Batches, Context, Method, Outcome, Request, Training, digest

NO_MEMORY = "out of memory, with no other edit beside it"


@dataclass(frozen=True)
class Cost:
    """Wall ``seconds`` of a step of all streams, and the peak ``memory`` so far in bytes."""

    seconds: float
    memory: int


def request_of(record: Record) -> Request:
    """A record as a method sees it, without its probes."""
    return Request(record.id, record.prompt, record.target, record.subject, record.irrelevant)


def withheld_of(records: Iterable[Record]) -> frozenset[str]:
    """Of the probes of ``records`` what is needed not to train on them.

    Of all records that are edited and judged together, in one model or not: an edit then is the same in every stream.
    """
    return frozenset(digest(probe.prompt) for record in records for probe in record.probes)


def edit_step(
    engine: Engine,
    method: Method,
    records: Sequence[Sequence[Record]],
    state: EditState | None,
    context: Context,
) -> tuple[Outcome, Cost]:
    """Edits stream s with ``records[s]``, going on from ``state``.

    A record that cannot be used fails alone; a stream that cannot be edited stays as it was. Where memory runs out for
    several streams together the error is passed on, for the caller to try fewer at once.
    """
    if engine.model.device.type == "cuda":
        for gpu in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(gpu)
    start = time.perf_counter()
    outcome = _fit(engine, method, [[request_of(r) for r in batch] for batch in records], state, context)
    return outcome, Cost(time.perf_counter() - start, _peak_memory(engine))


def weight_of(engine: Engine, method: Method, batch: Sequence[Record], context: Context) -> int:
    """Tokens that a batch of records puts into a training batch; 1 for one that will be reported as failed."""
    try:
        return max(1, sum(method.weight(engine, request_of(record), context) for record in batch))
    except UserError:
        return 1


def _fit(engine: Engine, method: Method, batches: Batches, state: EditState | None, context: Context) -> Outcome:
    try:
        return method.fit(engine, batches, state, context)
    except EditError as error:
        why = str(error)
    except Exception as error:
        if len(batches) > 1 or not out_of_memory(error):
            raise
        why = NO_MEMORY
    if len(batches) == 1:
        # Outside the handler, whose traceback would keep the failed edit's tensors alive.
        release()
        return Outcome(state or EditState(1), (Training(error=why),))
    alone = [
        _fit(engine, method, [batch], None if state is None else state.select([s]), context)
        for s, batch in enumerate(batches)
    ]
    return Outcome.join(alone)


def _peak_memory(engine: Engine) -> int:
    if engine.model.device.type == "cuda":
        return sum(torch.cuda.max_memory_allocated(gpu) for gpu in range(torch.cuda.device_count()))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
