"""How records become streams: sequences of batches, applied one after another to one virtual copy of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from baft.benchmarks.records import Record
from baft.config import ProtocolConfig


@dataclass(frozen=True)
class Stream:
    """A stream's id and its batches, in the order in which they are applied."""

    id: str
    batches: tuple[tuple[Record, ...], ...]

    def edits(self, step: int) -> int:
        """Records edited once ``step`` (from 0) is done."""
        return sum(len(batch) for batch in self.batches[: step + 1])

    def step_of(self, record: Record) -> int:
        """The step at which ``record`` is edited."""
        return next(step for step, batch in enumerate(self.batches) if any(one.id == record.id for one in batch))


def streams_of(protocol: ProtocolConfig, records: Sequence[Record]) -> list[Stream]:
    """Non-overlapping windows of ``size`` × ``length`` records, cut into batches; the last partial one included."""
    window = protocol.size * protocol.length
    streams = []
    for start in range(0, len(records), window):
        own = records[start : start + window]
        batches = tuple(tuple(own[i : i + protocol.size]) for i in range(0, len(own), protocol.size))
        streams.append(Stream(own[0].id, batches))
    return streams


def moments_of(protocol: ProtocolConfig, stream: Stream, step: int) -> list[tuple[str, tuple[Record, ...]]]:
    """What is scored after a step: moments, each with the records to score.

    ``immediate``: the records just edited, where later edits could make them forgotten. ``interim``: all records edited
    so far, at the numbers of edits asked for. ``final``: all records of the stream, after its last step.
    """
    so_far = tuple(record for batch in stream.batches[: step + 1] for record in batch)
    if step == len(stream.batches) - 1:
        last = [("immediate", stream.batches[step])] if protocol.length > 1 else []
        return [*last, ("final", so_far)]
    wanted = [("immediate", stream.batches[step])]
    if len(so_far) in protocol.at:
        wanted.append(("interim", so_far))
    return wanted
