"""Running streams: step after step, many side by side, scored when the protocol says so, and kept on the way.

A step of few streams has few questions, and a processor is slow at few. So the edited models of several steps are put side
by side, as if they were so many streams, and asked together.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from baft.benchmarks.records import Record
from baft.config import ProtocolConfig
from baft.engine.budget import out_of_memory, release
from baft.engine.engine import Engine
from baft.engine.state import EditState
from baft.evaluation.checkpoints import Checkpoints, Reached
from baft.evaluation.editing import Cost, edit_step, weight_of
from baft.evaluation.keeping import Keeping
from baft.evaluation.metrics import Columns
from baft.evaluation.protocols import Stream, moments_of
from baft.methods.base import Context, Method, Training


@dataclass(frozen=True)
class Scoring:
    """Records of one stream to be scored: ``place`` is the stream's in the state, ``failed`` the edits that failed."""

    place: int
    stream: Stream
    records: tuple[Record, ...]
    moment: str
    edits: int
    failed: Mapping[str, str]


@dataclass(frozen=True)
class _Step:
    """A step that was taken and is to be scored: the ``state`` after it, without what only goes on editing.

    ``ids`` are the streams', ``edits`` the rows of each stream's edits.
    """

    state: EditState
    wanted: tuple[Scoring, ...]
    ids: tuple[str, ...]
    edits: tuple[tuple[Columns, ...], ...]

    @property
    def records(self) -> int:
        """How many records are to be scored."""
        return sum(len(one.records) for one in self.wanted)


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
        """Runs groups of at most ``together`` streams, within the token budget; gives the groups' names, in order.

        Steps are scored together until they have as many records to score as there may be streams.
        """
        groups: list[str] = []
        for start in range(0, len(streams), together):
            part = range(start, min(start + together, len(streams)))
            groups += self.engine.budget.run(
                part,
                lambda i: self._weight(streams[i]),
                lambda g: self._group(str(g[0]), [streams[i] for i in g], together),
            )
        return groups

    def _weight(self, stream: Stream) -> int:
        return max(weight_of(self.engine, self.method, batch, self.context) for batch in stream.batches)

    def _group(self, name: str, streams: Sequence[Stream], together: int) -> str:
        ids = [stream.id for stream in streams]
        reached = self.checkpoints.reached(name, ids)
        if self.keeping is not None and not self.keeping.has(reached.kept):
            reached = Reached()
        if reached.step:
            there = sum(stream.edits(reached.step - 1) for stream in streams)
            self.advance(there, there)
        while _active(streams, reached.step):
            began, before = time.perf_counter(), reached.seconds
            steps: list[_Step] = []
            while _active(streams, reached.step) and sum(step.records for step in steps) < together:
                reached, step = self._step(name, streams, reached)
                steps.append(step)
            probes, edits = self._scored(steps)
            seconds = before + time.perf_counter() - began
            reached = replace(reached, seconds=seconds, parts=(*reached.parts, reached.step))
            self.checkpoints.keep(name, ids, reached, probes, edits)
            self.advance(len(edits), 0)
        return name

    def _step(self, name: str, streams: Sequence[Stream], reached: Reached) -> tuple[Reached, _Step]:
        """The next step of the streams that still have one; the state is of those alone."""
        step = reached.step
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
        wanted = tuple(
            Scoring(place, streams[s], records, moment, streams[s].edits(step), failed)
            for place, s in enumerate(active)
            for moment, records in moments_of(self.protocol, streams[s], step)
        )
        count = sum(map(len, batches))
        sizes = [
            {
                "parameters_trained": trained,
                "parameters_changed": changed,
                "numbers_stored": held,
                "numbers_carried": kept,
            }
            for (trained, changed), held, kept in zip(
                outcome.counts(), outcome.state.stored(), outcome.state.carried(), strict=True
            )
        ]
        edits = tuple(
            tuple(row | own for row in _edit_rows(streams[s], step, report, cost, count))
            for s, report, own in zip(active, outcome.trainings, sizes, strict=True)
        )
        kept = dict(reached.kept)
        if self.keeping is not None:
            for place, s in enumerate(active):
                own = f"{name}-{s}-{step}"
                kept |= self.keeping.keep(own, streams[s], step, place, outcome.state, failed)
        state = outcome.state if _active(streams, step + 1) else None
        taken = _Step(replace(outcome.state, memory={}), wanted, tuple(streams[s].id for s in active), edits)
        return replace(reached, step=step + 1, state=state, failed=failed, kept=kept), taken

    def _scored(self, steps: Sequence[_Step]) -> tuple[list[Columns], list[Columns]]:
        """Rows of the probes and of the edits of ``steps``, asked together, or one by one where memory runs out."""
        try:
            return self._asked(steps)
        except Exception as error:
            if len(steps) == 1 or not out_of_memory(error):
                raise
        # Outside the handler, whose traceback would keep the joined state alive.
        release()
        alone = [self._asked([step]) for step in steps]
        return [row for probes, _ in alone for row in probes], [row for _, edits in alone for row in edits]

    def _asked(self, steps: Sequence[_Step]) -> tuple[list[Columns], list[Columns]]:
        states = [step.state for step in steps]
        state = EditState.join(states) if len(steps) > 1 else states[0]
        first = accumulate((own.streams for own in states), initial=0)
        wanted = [
            replace(one, place=one.place + places)
            for step, places in zip(steps, first, strict=False)
            for one in step.wanted
        ]
        probes = self.score(state, wanted)
        ratios = self.drift(state, [stream for step in steps for stream in step.ids])
        own = [rows for step in steps for rows in step.edits]
        return probes, [
            row | {"perplexity_ratio": ratio} for rows, ratio in zip(own, ratios, strict=True) for row in rows
        ]


def _active(streams: Sequence[Stream], step: int) -> list[int]:
    return [s for s, stream in enumerate(streams) if step < len(stream.batches)]


def _edit_rows(stream: Stream, step: int, report: Training, cost: Cost, edits: int) -> list[Columns]:
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
            "error": own.error,
        }
        for record, own in ((record, report.of(record.id)) for record in stream.batches[step])
    ]
