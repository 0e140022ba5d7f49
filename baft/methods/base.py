"""What a method is: settings, and ``fit`` from requests to the deltas of many streams.

A new method is one file with a :func:`~baft.methods.registry.register`-ed subclass of :class:`Method`, and one with its
settings (:mod:`baft.methods.settings`).
"""

from __future__ import annotations

import hashlib
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, TypeVar

import torch

from baft.engine.deltas import Delta
from baft.engine.engine import Engine
from baft.engine.fitting import Fit
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError


@dataclass(frozen=True, slots=True)
class Request:
    """An edit as a method sees it: never a probe. ``irrelevant`` are prompts it may train on to leave them alone."""

    id: str
    prompt: str
    target: str
    subject: str = ""
    irrelevant: tuple[str, ...] = ()


T = TypeVar("T")


class Remembered(Generic[T]):
    """What was last made, and what for: the same for every batch of edits, it is made once."""

    def __init__(self) -> None:
        self._known: tuple[tuple[object, ...], T] | None = None

    def of(self, what_for: tuple[object, ...], make: Callable[[], T]) -> T:
        """What was made for this last, or what ``make`` gives now."""
        if self._known is None or self._known[0] != what_for:
            self._known = what_for, make()
        return self._known[1]


def digest(prompt: str) -> str:
    """What tells whether two prompts are the same but for case, white space and how letters are composed, and no more."""
    same = unicodedata.normalize("NFC", " ".join(prompt.casefold().split()))
    return hashlib.sha256(same.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Training:
    """Of one stream's batch: optimiser steps taken, the last loss, and why nothing of it was edited, or None.

    ``failed`` are requests that failed by themselves, and why, by id; the others of the batch were edited without them.
    ``alone`` are the steps and the loss of each request that was trained by itself, by id, of a batch that was not trained
    as one.
    """

    steps: int = 0
    loss: float | None = None
    error: str | None = None
    failed: Mapping[str, str] = field(default_factory=dict)
    alone: Mapping[str, tuple[int, float]] = field(default_factory=dict)

    def of(self, request: str) -> Training:
        """What concerns the request of that id."""
        if request in self.failed:
            return Training(error=self.failed[request])
        return Training(*self.alone[request]) if request in self.alone else self


def trainings_of(fit: Fit) -> tuple[Training, ...]:
    """How the training of each stream went, where a batch is trained as one."""
    return tuple(Training(s, v, e) for s, v, e in zip(fit.steps, fit.loss, fit.errors, strict=True))


@dataclass(frozen=True)
class Outcome:
    """The edited streams, how each was trained, and the numbers trained and the model weights changed.

    Of these two there is one number a stream, or a single one that all streams have in common.
    """

    state: EditState
    trainings: tuple[Training, ...]
    trained: int | Sequence[int] = 0
    changed: int | Sequence[int] = 0

    def counts(self) -> list[tuple[int, int]]:
        """Of each stream the numbers trained and the weights changed: none where its edit failed."""
        pairs = zip(self._each(self.trained), self._each(self.changed), self.trainings, strict=True)
        return [(trained, changed) if report.error is None else (0, 0) for trained, changed, report in pairs]

    def _each(self, count: int | Sequence[int]) -> Sequence[int]:
        return [count] * len(self.trainings) if isinstance(count, int) else count

    def select(self, streams: Sequence[int]) -> Outcome:
        """The outcome of the given streams, in that order; a stream may be given several times."""
        trained, changed = ([self._each(of)[s] for s in streams] for of in (self.trained, self.changed))
        return Outcome(self.state.select(streams), tuple(self.trainings[s] for s in streams), trained, changed)

    @staticmethod
    def join(outcomes: Sequence[Outcome]) -> Outcome:
        """Outcomes of different streams as one."""
        trainings = tuple(report for outcome in outcomes for report in outcome.trainings)
        trained = [count for outcome in outcomes for count in outcome._each(outcome.trained)]
        changed = [count for outcome in outcomes for count in outcome._each(outcome.changed)]
        return Outcome(EditState.join([outcome.state for outcome in outcomes]), trainings, trained, changed)


@dataclass(frozen=True)
class Context:
    """What a method may know besides the requests: the run's seed and the key covariances collected for its sites.

    ``withheld`` are digests (:func:`digest`) of prompts that no edit may be trained to leave alone: all that the edits
    will be judged by, each other's included. From a digest no prompt can be read, only recognised.
    """

    seed: int = 0
    covariances: Mapping[Site, torch.Tensor] = field(default_factory=dict)
    withheld: frozenset[str] = frozenset()


Batches = Sequence[Sequence[Request]]


class Method(ABC):
    """A knowledge-editing method with its settings."""

    name: ClassVar[str]
    edits: ClassVar[bool] = True
    """Whether the streams that this method was given are edited afterwards; only the reference row's are not."""

    def __init__(self, settings: Any):
        self.settings = settings

    def check(self, engine: Engine, context: Context) -> None:  # noqa: B027
        """Raises UserError where the settings or the ``context`` do not fit the engine's model.

        Called once, before any edit: what is wrong for every edit is the user's to mend, and no edit's failure. See
        :mod:`baft.methods.checks`.
        """

    def fit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        """Edits stream s with the requests of ``batches[s]``, going on from ``state`` (None: the unedited model).

        All batches are edited side by side, and each gives what it would give alone. A request that this method cannot use
        fails alone. A stream whose report has an error, or whose edit is not finite, is left as it was, with an error.
        """
        refused = [
            {request.id: why for request in batch if (why := self.refusal(engine, request, context)) is not None}
            for batch in batches
        ]
        usable = [
            [request for request in batch if request.id not in why] for batch, why in zip(batches, refused, strict=True)
        ]
        part = [s for s, batch in enumerate(usable) if batch]
        trainings = [Training(error=next(iter(why.values()), None), failed=why) for why in refused]
        if not part:
            return Outcome(state or EditState(len(batches)), tuple(trainings))
        whole = len(part) == len(batches)
        earlier = state if whole or state is None else state.select(part)
        outcome = self.edit(engine, [usable[s] for s in part], earlier, context)
        spoilt = _not_finite(outcome.state)
        for i, (s, report) in enumerate(zip(part, outcome.trainings, strict=True)):
            if report.error is None and i in spoilt:
                report = replace(report, error=NOT_FINITE)
            trainings[s] = replace(report, failed={**refused[s], **report.failed})
        # Any stream will do in the place of one that is put back.
        place = [part.index(s) if s in part else 0 for s in range(len(batches))]
        outcome = outcome if whole else outcome.select(place)
        errors = [s for s, report in enumerate(trainings) if report.error is not None]
        after = replace(outcome.state, edited=torch.full((len(batches),), self.edits))
        return replace(outcome, state=after.put_back(errors, state) if errors else after, trainings=tuple(trainings))

    @abstractmethod
    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        """What :meth:`fit` does, but for the streams with an error: what the state has of them does not matter.

        No batch is empty, and none has a request that is refused. A stream that is not ``edited`` in ``state`` has zeros in
        its tensors, and begins like one without a state; ``edited`` of the outcome's state is set by :meth:`fit`. A stream
        that cannot be edited has a report with an error; where it cannot be told which one it is,
        :class:`~baft.errors.EditError` makes the caller try each alone.
        """

    def refusal(self, engine: Engine, request: Request, context: Context) -> str | None:
        """Why this method cannot use ``request``, or None."""
        try:
            engine.check_length(max(self.lengths(engine, request, context)), request.prompt)
        except UserError as error:
            return str(error).rstrip(".")
        return None

    def lengths(self, engine: Engine, request: Request, context: Context) -> Sequence[int]:
        """Tokens of each text that ``request`` puts into a training batch; the model must be able to read the longest."""
        return [forced_length(engine, request.prompt, request.target)]

    def weight(self, engine: Engine, request: Request, context: Context) -> int:
        """Tokens that ``request`` puts into a training batch in all: what the token budget counts."""
        return sum(self.lengths(engine, request, context))


def forced_length(engine: Engine, prompt: str, answer: str) -> int:
    """Tokens that the model reads when ``answer`` is forced behind ``prompt``: all but the answer's last."""
    return len(engine.text.prompt(prompt)) + len(engine.text.answer(prompt, answer)) - 1


NOT_FINITE = "the edit's numbers are not finite"


def _not_finite(state: EditState) -> set[int]:
    """The streams that have a delta, or a model of their own, with a number that is none."""
    found = {s for s, own in enumerate(state.models) if own is not None and not own.is_finite()}
    for delta in state.deltas.values():
        for tensor in delta.tensors().values():
            bad = ~tensor.isfinite().flatten(1).all(1)
            found.update(torch.nonzero(bad)[:, 0].tolist())
    return found


def seed_of(*parts: object) -> int:
    """A seed from what identifies a draw, so that no draw depends on the order of the run."""
    return int.from_bytes(hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()[:7], "big")


def number_of(*parts: object) -> float:
    """A number that tells whether two of what it is made of are the same, exact in float64."""
    return float(seed_of(*parts) >> 4)


PROMPTS = "prompts"
"""Memory of a stream: the :func:`prompt_number` of each of its edits, or of what it keeps of them (S, n)."""


def prompt_number(prompt: str) -> float:
    """A number that tells whether two prompts are the same, as :func:`digest` does."""
    return number_of("prompt", digest(prompt))


def generator(*parts: object) -> torch.Generator:
    """A CPU generator seeded by :func:`seed_of`: the same draws on every device."""
    return torch.Generator().manual_seed(seed_of(*parts))


def per_stream(batches: Batches, context: Context, draw: Callable[[torch.Generator], torch.Tensor]) -> torch.Tensor:
    """``draw`` once per stream, each from its own generator, stacked (S, …)."""
    return torch.stack([draw(generator(context.seed, *(request.id for request in batch))) for batch in batches])


def deltas_of(state: EditState | None) -> Mapping[Site, Delta]:
    """The deltas of a state that may not exist yet."""
    return state.deltas if state is not None else {}
