"""Facts as keys and values of linear layers: what ROME, MEMIT and their kin share.

A fact is looked up at the last token of its subject: there an MLP's output layer is given a key k and answers with a value.
These methods find the value that makes the model say the target, by gradient descent, and then solve for a change of weights
that gives it. Keys are read behind several texts, so that they do not depend on how a prompt happens to begin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from baft.engine.asking import Decoding, Question
from baft.engine.deltas import Delta, LowRank, Offset
from baft.engine.engine import Engine
from baft.engine.fitting import Fit, Losses, Params, Reading, Schedule, minimise
from baft.engine.positions import AtMark, Everywhere
from baft.engine.rows import Batch, Grouping, Row, chosen, collate
from baft.engine.sampling import top_k
from baft.engine.sites import Site
from baft.methods.base import Context, Method, Remembered, Request, digest, generator
from baft.methods.rows import row_lengths

STARTS = ("The", "Therefore", "Because", "I", "You")
"""Words that the sampled texts begin with, in turn."""


ESSENCES = ("{} is a", "The topic here is {}", "A few words on {}")
"""Prompts on what a subject is, the ROME authors' first."""


class Prefixes:
    """``count`` texts of as many tokens as ``lengths`` say in turn, behind ``starts`` in turn, of the unedited model."""

    def __init__(self, count: int, lengths: Sequence[int], starts: Sequence[str] = STARTS):
        self.count = count
        self.lengths = tuple(lengths)
        self.starts = starts
        self._drawn = Remembered[tuple[str, ...]]()

    def of(self, engine: Engine, seed: int) -> tuple[str, ...]:
        """The texts, every token among the 5 likeliest, each ended by a full stop and a space; drawn once."""
        return self._drawn.of((engine, seed), lambda: self._draw(engine, seed))

    def _draw(self, engine: Engine, seed: int) -> tuple[str, ...]:
        size = (self.count, max(self.lengths), 5)
        noise = torch.rand(size, dtype=torch.float32, generator=generator("rome prefixes", seed))
        texts = [self.starts[i % len(self.starts)] for i in range(self.count)]
        for tokens in sorted({*self.lengths}):
            own = [i for i in range(self.count) if self.lengths[i % len(self.lengths)] == tokens]
            questions = [Question(0, tuple(engine.text.prompt(texts[i]))) for i in own]
            for i, reply in zip(own, engine.ask(None, questions, Decoding(tokens, ()), top_k(noise[own])), strict=True):
                texts[i] += f" {' '.join(reply.decoded.split())}. "
        return tuple(texts)


def essence_of(request: Request, withheld: Set[str]) -> str | None:
    """The first of :data:`ESSENCES` about the subject that may be trained on, or None.

    Digests of probes are ``withheld``. Nor is it what the edit changes: its own prompt, or one that is that prompt up to
    the subject's end, where it is read.
    """
    judged = withheld | {digest(request.prompt)}
    for essence in ESSENCES:
        read = essence[: essence.index("{}") + 2]
        if not {digest(text.format(request.subject)) for text in (essence, read)} & judged:
            return essence.format(request.subject)
    return None


def unusable(engine: Engine, request: Request, withheld: Set[str], method: str) -> str | None:
    """Why a ``method``, given by the name that a sentence has for it, cannot look up and train ``request``, or None."""
    if engine.text.last_token_of(request.prompt, request.subject) is None:
        return f"the subject {request.subject!r} is not in the prompt, and {method} edits at its last token"
    if essence_of(request, withheld) is None:
        return f"every prompt on what {request.subject!r} is that {method} could train on is one of the probes"
    return None


def lengths_of(engine: Engine, request: Request, texts: Sequence[str]) -> list[int]:
    """Tokens of each row that :func:`find_changes` trains ``request`` with; ``texts`` are those put before its prompt."""
    essences = [essence.format(request.subject) for essence in ESSENCES]
    return [*row_lengths(engine, request, texts), max(len(engine.text.prompt(essence)) for essence in essences)]


def fact_rows(engine: Engine, stream: int, request: Request, texts: Sequence[str]) -> list[Row]:
    """The prompt behind each of ``texts`` with the target forced, the subject's last token marked."""
    rows = []
    for text in texts:
        prompt = text + request.prompt
        ids = engine.text.prompt(prompt)
        mark = engine.text.last_token_of(request.prompt, request.subject, text)
        assert mark is not None
        rows.append(Row.forced(stream, ids, engine.text.answer(prompt, request.target), mark))
    return rows


def essence_row(engine: Engine, stream: int, request: Request, withheld: Set[str]) -> Row:
    """The request's :func:`essence_of`, read and marked at the subject's last token, as in the ROME authors' code."""
    essence = essence_of(request, withheld)
    assert essence is not None
    ids = engine.text.prompt(essence)
    mark = engine.text.last_token_of(essence, request.subject)
    assert mark is not None
    return Row(stream, tuple(ids), len(ids), mark, ((mark, -1),))


@torch.no_grad()
def at_marks(engine: Engine, rows: Sequence[Row], site: Site, standing: Mapping[Site, Delta]) -> tuple[Tensor, Tensor]:
    """What enters (n, d_in) and leaves (n, d_out) the module of ``site`` at the marked tokens of n ``rows``.

    ``standing`` deltas act, one at the site itself included. In the model's precision, on the site's device. Of each row
    no more is read than up to its mark.
    """
    rows = [replace(row, ids=row.ids[: row.mark + 1], prompt=min(row.prompt, row.mark + 1), reads=()) for row in rows]

    def work(group: Sequence[Row]) -> tuple[Tensor, Tensor]:
        batch = collate(group, engine.model.device, engine.pad)
        x, y = engine.model.activations(batch, site, edits=standing.items())
        batch = batch.to(x.device)
        if site in standing:
            y = standing[site].apply(x, y, batch, Grouping(batch.stream))
        at = torch.arange(len(group), device=x.device)
        precision = engine.model.precision
        return x[at, batch.mark].to(precision), y[at, batch.mark].to(precision)

    parts = list(engine.budget.run(rows, lambda row: len(row.ids), work))
    return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


@dataclass(frozen=True)
class Descent:
    """How a value is searched for: Adam with rate ``lr``, at most ``steps`` steps, or until a loss below ``tolerance``.

    ``clamp`` is the largest norm of the change, in norms of the value that there was; ``kl`` weighs the KL term on
    what the subject is, and ``decay`` ‖change‖ / ‖value‖².
    """

    steps: int
    lr: float
    tolerance: float
    clamp: float
    kl: float
    decay: float


def find_changes(
    engine: Engine,
    requests: Sequence[Request],
    texts: Sequence[str],
    site: Site,
    standing: Mapping[Site, Delta],
    clean: Tensor,
    descent: Descent,
    context: Context,
) -> Fit:
    """The ``change`` (n, d_out) of what leaves ``site`` at the subject's last token that makes each request's target likely.

    Minimises, for each of the n requests alone, −log p of the target, mean over its tokens and over the ``texts`` before the
    prompt, with the two penalties of :class:`Descent`. ``clean`` (n, d_out) is what leaves the site at the bare prompt, and
    ``standing`` are the deltas of the requests' n streams. A request whose loss stops being finite has an error.
    """
    rows = []
    for number, request in enumerate(requests):
        rows += [*fact_rows(engine, number, request, texts), essence_row(engine, number, request, context.withheld)]
    size = clean.norm(dim=-1)
    unedited: list[Tensor] = []

    def objective(reading: Reading, deltas: Mapping[Site, Delta]) -> Losses:
        # One row of logits a stream.
        essence = reading.logits.log_softmax(-1)
        if not unedited:
            # At the first step the change is 0 and every stream is there.
            unedited.append(essence.detach()[reading.streams.argsort()])
        before = unedited[0][reading.streams]
        # KL(edited ‖ unedited), the direction of the authors' code.
        kl = functional.kl_div(before, essence, log_target=True, reduction="none").sum(-1)
        change = deltas[site].tensors()["value"].norm(dim=-1) / chosen(size, reading.streams) ** 2
        total = reading.nll() + descent.kl * kl + descent.decay * change.to(kl.device)
        return Losses(total, total)

    def clamp(params: Params, streams: Tensor) -> None:
        norm = params["change"].norm(dim=-1)
        largest = descent.clamp * chosen(size, streams)
        params["change"].mul_((largest / norm.clamp(min=1e-12)).clamp(max=1.0)[:, None])

    return minimise(
        engine.model,
        rows,
        {"change": torch.zeros_like(clean)},
        lambda params: {site: Offset(AtMark(), params["change"])},
        Schedule(descent.steps, descent.lr, descent.tolerance),
        engine.pad,
        objective,
        clamp,
        standing,
    )


@dataclass(frozen=True)
class Lent(Delta):
    """Another delta under other numbers: stream s is the stream ``owner[s]`` (S,) of ``of``.

    Many requests of one stream are trained side by side this way without a copy of its delta for each.
    """

    shapes: ClassVar[Mapping[str, str]] = {"owner": "S"}

    owner: Tensor
    of: Delta

    def apply(self, x: Tensor, y: Tensor, batch: Batch, grouping: Grouping, decision: Tensor | None = None) -> Tensor:
        own = replace(batch, stream=chosen(self.owner, batch.stream).to(batch.stream.device))
        return self.of.apply(x, y, own, Grouping(own.stream), decision)

    def update(self, x: Tensor, y: Tensor, present: Tensor) -> Tensor:
        return self.of.select(self.owner).update(x, y, present)


def without(update: LowRank, failed: Sequence[bool]) -> LowRank:
    """``update`` with zeros for the streams that ``failed``."""
    mask = torch.tensor(failed, device=update.up.device)[:, None, None]
    return update.with_tensors({name: t.masked_fill(mask, 0) for name, t in update.tensors().items()})


def appended(previous: Delta | None, update: LowRank, streams: Tensor, count: int) -> LowRank:
    """``update`` of some of ``count`` streams beside all streams' earlier updates; the others get an update of zeros.

    Once there are more of them than outputs they are added up, for no change of a matrix needs more than one an output.
    """

    def spread(part: Tensor) -> Tensor:
        whole = torch.zeros(count, *part.shape[1:], dtype=part.dtype, device=part.device)
        return whole.index_copy(0, streams, part)

    down, up = spread(update.down), spread(update.up)
    if isinstance(previous, LowRank):
        down, up = torch.cat([previous.down, down], 1), torch.cat([previous.up, up], 1)
    if down.shape[1] > up.shape[2]:
        down = (up.double().mT @ down.double()).to(down.dtype)
        up = torch.eye(up.shape[2], dtype=up.dtype, device=up.device).repeat(count, 1, 1)
    return LowRank(Everywhere(), down, up)


class FactMethod(Method):
    """Base of methods that edit at the last token of a fact's subject.

    Its settings have ``prefixes``, ``prefix_tokens`` and what a :class:`Descent` takes.
    """

    def __init__(self, settings: Any):
        super().__init__(settings)
        self.prefixes = Prefixes(settings.prefixes, self.prefix_lengths())
        self.descent = Descent(
            settings.steps, settings.lr, settings.tolerance, settings.clamp, settings.kl, settings.decay
        )

    def prefix_lengths(self) -> Sequence[int]:
        """Tokens of the sampled texts, in turn."""
        return (self.settings.prefix_tokens,)

    def lengths(self, engine: Engine, request: Request, context: Context) -> Sequence[int]:
        return lengths_of(engine, request, self.prefixes.of(engine, context.seed))

    def refusal(self, engine: Engine, request: Request, context: Context) -> str | None:
        return unusable(engine, request, context.withheld, self.settings.title) or super().refusal(
            engine, request, context
        )
