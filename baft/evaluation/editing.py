"""Editing streams with a method, group by group, so that one bad edit never costs another."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from baft.benchmarks.records import Record
from baft.engine.budget import out_of_memory
from baft.engine.engine import Engine
from baft.engine.state import EditState
from baft.errors import UserError
from baft.evaluation.metrics import Row
from baft.evaluation.protocols import Stream
from baft.methods.base import Context, Method, Outcome, Report, Request

GROUP = 16
"""Streams between two lines of progress; larger groups gained nothing on a CPU."""


@dataclass(frozen=True)
class Edited:
    """Streams after their edits; ``seconds`` and ``memory`` (bytes) are of the whole group."""

    streams: tuple[Stream, ...]
    outcome: Outcome
    seconds: float
    memory: int

    def rows(self) -> list[Row]:
        """One row an edit."""
        edits = sum(len(batch) for stream in self.streams for batch in stream.batches)
        return [
            {
                "record_id": record.id,
                "stream_id": stream.id,
                "step": step,
                "optimiser_steps": report.steps,
                "loss": report.loss,
                "seconds": self.seconds / edits,
                "peak_memory": self.memory,
                "parameters_trained": self.outcome.trained,
                "parameters_changed": self.outcome.changed,
                "error": report.error,
            }
            for stream, report in zip(self.streams, self.outcome.reports, strict=True)
            for step, batch in enumerate(stream.batches)
            for record in batch
        ]


def request_of(record: Record) -> Request:
    """A record as a method sees it: without its probes."""
    return Request(record.id, record.prompt, record.target, record.subject, record.irrelevant)


def edit_streams(engine: Engine, method: Method, streams: Sequence[Stream], context: Context) -> Iterator[Edited]:
    """Edits streams side by side, as many at a time as the token budget allows, and gives each group when it is done."""

    def cost(stream: Stream) -> int:
        try:
            return max(sum(method.weight(engine, request_of(r)) for r in batch) for batch in stream.batches)
        except UserError:
            # Reported when it is edited.
            return 1

    def work(group: Sequence[Stream]) -> Edited:
        if engine.model.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        outcome = _fit(engine, method, group, context)
        return Edited(tuple(group), outcome, time.perf_counter() - start, _peak_memory(engine))

    for start in range(0, len(streams), GROUP):
        yield from engine.budget.run(streams[start : start + GROUP], cost, work)


def _fit(engine: Engine, method: Method, streams: Sequence[Stream], context: Context) -> Outcome:
    batches = [[request_of(record) for record in stream.batches[0]] for stream in streams]
    try:
        for batch in batches:
            for request in batch:
                engine.check_length(method.weight(engine, request), request.prompt)
        return method.fit(engine, batches, None, context)
    except (UserError, RuntimeError, ValueError) as error:
        if out_of_memory(error):
            raise
        if len(streams) == 1:
            return Outcome(EditState(1), (Report(error=f"{type(error).__name__}: {error}"),))
    return _joined([_fit(engine, method, [stream], context) for stream in streams])


def _joined(outcomes: Sequence[Outcome]) -> Outcome:
    """Outcomes of single streams as one; failed ones get an edit of zeros."""
    reports = tuple(report for outcome in outcomes for report in outcome.reports)
    good = [outcome for outcome in outcomes if outcome.state.deltas]
    if not good:
        return Outcome(EditState(len(outcomes)), reports)
    model = good[0].state
    nothing = EditState(
        1,
        {s: d.with_tensors({n: torch.zeros_like(t) for n, t in d.tensors().items()}) for s, d in model.deltas.items()},
        {name: torch.zeros_like(t) for name, t in model.memory.items()},
    )
    state = EditState.join([outcome.state if outcome.state.deltas else nothing for outcome in outcomes])
    return Outcome(state, reports, good[0].trained, good[0].changed)


def _peak_memory(engine: Engine) -> int:
    if engine.model.device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
