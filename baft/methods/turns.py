"""Requests of a batch that are edited one after another, in all streams side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from baft.engine.fitting import Fit
from baft.methods.base import Batches, Request, Training


class Turns:
    """In turn n the n-th request of every batch that has one; what came of them is added up for each stream."""

    def __init__(self, batches: Batches):
        self.batches = batches
        self._trained: list[dict[str, tuple[int, float]]] = [{} for _ in batches]
        self._failed: list[dict[str, str]] = [{} for _ in batches]

    def __iter__(self) -> Iterator[tuple[list[int], list[Request]]]:
        """The streams of each turn, and the request of each."""
        for turn in range(max(map(len, self.batches))):
            streams = [s for s, batch in enumerate(self.batches) if turn < len(batch)]
            yield streams, [self.batches[s][turn] for s in streams]

    def note(self, streams: Sequence[int], requests: Sequence[Request], fit: Fit) -> None:
        """Takes down how the training of a turn's requests went."""
        for s, request, steps, loss, error in zip(streams, requests, fit.steps, fit.loss, fit.errors, strict=True):
            self._trained[s][request.id] = steps, loss
            if error is not None:
                self._failed[s][request.id] = error

    def trainings(self) -> tuple[Training, ...]:
        """Those of each stream, as :func:`each_alone` gives them."""
        return tuple(
            each_alone(batch, trained, failed)
            for batch, trained, failed in zip(self.batches, self._trained, self._failed, strict=True)
        )


def each_alone(
    batch: Sequence[Request], trained: Mapping[str, tuple[int, float]], failed: Mapping[str, str]
) -> Training:
    """The training of a stream's batch, of whose requests each was ``trained`` by itself: by id its steps and its loss.

    All steps, the mean loss of the requests that did not fail, and an error if every request ``failed``.
    """
    losses = [loss for request, (_, loss) in trained.items() if request not in failed]
    error = next(iter(failed.values())) if len(failed) == len(batch) else None
    steps = sum(steps for steps, _ in trained.values())
    return Training(steps, sum(losses) / len(losses) if losses else math.nan, error, failed, trained)
