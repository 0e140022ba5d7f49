"""Running streams: step after step, many side by side, scored when the protocol says so, and kept on the way."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from baft.benchmarks.records import Record
from baft.config import ProtocolConfig
from baft.engine.engine import Engine
from baft.engine.state import EditState
from baft.evaluation.checkpoints import Checkpoints, Reached
from baft.evaluation.editing import Cost, edit_step, weight_of
from baft.evaluation.keeping import Keeping
from baft.evaluation.metrics import Columns
from baft.evaluation.protocols import Stream, moments_of
from baft.methods.base import Context, Method, Outcome, Training


@dataclass(frozen=True)
class Scoring:
    """Records of one stream to be scored: ``place`` is the stream's in the state, ``failed`` the edits that failed."""

    place: int
    stream: Stream
    records: tuple[Record, ...]
    moment: str
    edits: int
    failed: Mapping[str, str]


Score = Callable[[EditState, Sequence[Scoring]], list[Columns]]
Drift = Callable[[EditState, Sequence[str]], Sequence[float | None]]


@dataclass(frozen=True)
class Runner:
    """What all groups of streams of one job share.

    ``score`` asks the probes of what it is given and makes rows; ``drift`` gives the perplexity ratio of each stream, told
    their ids; ``advance`` is told how many edits are done and scored, and how many of them were so in an earlier attempt;
    ``keeping`` saves edits, where some are to be kept.
    """

    engine: Engine
    method: Method
    protocol: ProtocolConfig
    context: Context
    score: Score
    drift: Drift
    checkpoints: Checkpoints
    advance: Callable[[int, int], None]
    keeping: Keeping | None = None

    def run(self, streams: Sequence[Stream], together: int) -> list[str]:
        """Runs groups of at most ``together`` streams, within the token budget; gives the groups' names, in order."""
        groups: list[str] = []
        for start in range(0, len(streams), together):
            part = range(start, min(start + together, len(streams)))
            groups += self.engine.budget.run(
                part, lambda i: self._weight(streams[i]), lambda g: self._group(str(g[0]), [streams[i] for i in g])
            )
        return groups

    def _weight(self, stream: Stream) -> int:
        return max(weight_of(self.engine, self.method, batch, self.context) for batch in stream.batches)

    def _group(self, name: str, streams: Sequence[Stream]) -> str:
        ids = [stream.id for stream in streams]
        reached = self.checkpoints.reached(name, ids)
        if self.keeping is not None and not self.keeping.has(reached.kept):
            reached = Reached()
        if reached.step:
            there = sum(stream.edits(reached.step - 1) for stream in streams)
            self.advance(there, there)
        for step in range(reached.step, max(len(stream.batches) for stream in streams)):
            reached, probes, edits = self._step(name, streams, step, reached)
            self.checkpoints.keep(name, ids, reached, probes, edits)
            self.advance(len(edits), 0)
        return name

    def _step(
        self, name: str, streams: Sequence[Stream], step: int, reached: Reached
    ) -> tuple[Reached, list[Columns], list[Columns]]:
        """One step of the streams that still have one; the state is of those alone."""
        began = time.perf_counter()
        active = _active(streams, step)
        state = reached.state
        if state is not None and state.streams > len(active):
            before = _active(streams, step - 1)
            state = state.select([before.index(s) for s in active])
        batches = [streams[s].batches[step] for s in active]
        outcome, cost = edit_step(self.engine, self.method, batches, state, self.context)
        failed = dict(reached.failed or {})
        for batch, report in zip(batches, outcome.trainings, strict=True):
            failed |= {record.id: why for record in batch if (why := report.of(record.id).error) is not None}
        wanted = [
            Scoring(place, streams[s], records, moment, streams[s].edits(step), failed)
            for place, s in enumerate(active)
            for moment, records in moments_of(self.protocol, streams[s], step)
        ]
        probes = self.score(outcome.state, wanted)
        count = sum(map(len, batches))
        ratios = self.drift(outcome.state, [streams[s].id for s in active])
        sizes = zip(outcome.state.stored(), outcome.state.carried(), strict=True)
        after = [
            {"perplexity_ratio": ratio, "numbers_stored": stored, "numbers_carried": carried}
            for ratio, (stored, carried) in zip(ratios, sizes, strict=True)
        ]
        edits = [
            row | own
            for s, report, own in zip(active, outcome.trainings, after, strict=True)
            for row in _edit_rows(streams[s], step, report, outcome, cost, count)
        ]
        kept = dict(reached.kept)
        if self.keeping is not None:
            for place, s in enumerate(active):
                own = f"{name}-{s}-{step}"
                kept |= self.keeping.keep(own, streams[s], step, place, outcome.state, failed)
        state = outcome.state if _active(streams, step + 1) else None
        seconds = reached.seconds + time.perf_counter() - began
        return Reached(step + 1, state, failed, kept, seconds), probes, edits


def _active(streams: Sequence[Stream], step: int) -> list[int]:
    return [s for s, stream in enumerate(streams) if step < len(stream.batches)]


def _edit_rows(stream: Stream, step: int, report: Training, outcome: Outcome, cost: Cost, edits: int) -> list[Columns]:
    """One row a record; ``edits`` are those that the step's time was spent on."""
    return [
        {
            "record_id": record.id,
            "stream_id": stream.id,
            "step": step,
            "optimiser_steps": own.steps,
            "loss": own.loss if own.loss is not None and math.isfinite(own.loss) else None,
            "seconds": cost.seconds / edits,
            "peak_memory": cost.memory,
            "parameters_trained": outcome.trained,
            "parameters_changed": outcome.changed,
            "error": own.error,
        }
        for record, own in ((record, report.of(record.id)) for record in stream.batches[step])
    ]
