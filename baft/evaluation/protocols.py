"""How records become streams: sequences of batches, applied one after another to one virtual copy of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from baft.benchmarks.records import Record
from baft.errors import UserError


@dataclass(frozen=True)
class Stream:
    """A stream's id and its batches, in the order in which they are applied."""

    id: str
    batches: tuple[tuple[Record, ...], ...]


@dataclass(frozen=True)
class Protocol:
    """Streams of ``length`` batches of ``size`` records each; single editing is 1 × 1."""

    label: str
    size: int = 1
    length: int = 1

    def streams(self, records: Sequence[Record]) -> list[Stream]:
        """Non-overlapping windows of the records, the last partial one included."""
        window = self.size * self.length
        streams = []
        for start in range(0, len(records), window):
            own = records[start : start + window]
            batches = tuple(tuple(own[i : i + self.size]) for i in range(0, len(own), self.size))
            streams.append(Stream(own[0].id, batches))
        return streams


def protocol_of(label: str) -> Protocol:
    """The protocol that a label of the config names. Raises UserError for an unknown one."""
    if label != "single":
        raise UserError(f"protocols: '{label}' is not known; known is single.")
    return Protocol(label)
