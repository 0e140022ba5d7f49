"""Requests of a batch that are edited one after another, in all streams side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from baft.engine.fitting import Fit
from baft.methods.base import Batches, Request, Training


class Turns:
    """In turn n the n-th request of every batch that has one; what came of them is added up for each stream."""

    def __init__(self, batches: Batches):
        self.batches = batches
        self._steps, self._loss = [0] * len(batches), [math.nan] * len(batches)
        self._failed: list[dict[str, str]] = [{} for _ in batches]

    def __iter__(self) -> Iterator[tuple[list[int], list[Request]]]:
        """The streams of each turn, and the request of each."""
        for turn in range(max(map(len, self.batches))):
            streams = [s for s, batch in enumerate(self.batches) if turn < len(batch)]
            yield streams, [self.batches[s][turn] for s in streams]

    def note(self, streams: Sequence[int], requests: Sequence[Request], fit: Fit) -> None:
        """Takes down how the training of a turn's requests went."""
        for s, request, steps, loss, error in zip(streams, requests, fit.steps, fit.loss, fit.errors, strict=True):
            self._steps[s], self._loss[s] = self._steps[s] + steps, loss
            if error is not None:
                self._failed[s][request.id] = error

    def trainings(self) -> tuple[Training, ...]:
        """Of each stream all its steps, the last loss, and an error if every request of its batch failed."""
        return tuple(
            Training(steps, loss, next(iter(failed.values())) if len(failed) == len(batch) else None, failed)
            for steps, loss, failed, batch in zip(self._steps, self._loss, self._failed, self.batches, strict=True)
        )
