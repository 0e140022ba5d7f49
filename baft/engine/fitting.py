"""Training deltas by gradient descent, many streams at once, each with its own loss, optimiser and end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from baft.engine.adam import Adam
from baft.engine.deltas import Delta
from baft.engine.frozen import FrozenModel, Reads
from baft.engine.prepared import Prepared, prepare
from baft.engine.rows import Row
from baft.engine.sites import Site

Params = dict[str, Tensor]
Build = Callable[[Mapping[str, Tensor]], Mapping[Site, Delta]]


@dataclass(frozen=True)
class Schedule:
    """``steps`` at most; a stream ends before the step at which its fit is below ``tolerance``."""

    steps: int
    lr: float | Mapping[str, float]
    tolerance: float = 0.0
    decay: float = 0.0


@dataclass(frozen=True)
class Reading:
    """What an objective sees at one step: ``logits`` (N, V) float32 at the reads of ``rows``, their targets (N,),
    the row of each (N,) and the stream of each row (B,), numbered within the A active ``streams`` (A,) int64."""

    logits: Tensor
    targets: Tensor
    row: Tensor
    rows: tuple[Row, ...]
    row_stream: Tensor
    streams: Tensor

    def nll(self) -> Tensor:
        """Masked cross-entropy (A,): mean over a row's read tokens, then over a stream's rows; reads of -1 left out."""
        used = self.targets >= 0
        losses = functional.cross_entropy(self.logits[used], self.targets[used], reduction="none")
        per_row = _mean_by(losses, self.row[used], len(self.rows))
        with_reads = torch.unique(self.row[used])
        return _mean_by(per_row[with_reads], self.row_stream[with_reads], len(self.streams))


@dataclass(frozen=True)
class Losses:
    """``total`` (A,) is what is minimised; ``fit`` (A,) is what ends a stream once it is below the tolerance."""

    total: Tensor
    fit: Tensor


Objective = Callable[[Reading, Mapping[Site, Delta]], Losses]


def cross_entropy(reading: Reading, deltas: Mapping[Site, Delta]) -> Losses:
    """The ordinary objective: the mean negative log-probability of the forced tokens."""
    nll = reading.nll()
    return Losses(nll, nll)


@dataclass
class Fit:
    """Trained parameters (S, …); per stream the steps taken, the last fit and an error or None."""

    params: Params
    steps: list[int]
    loss: list[float]
    errors: list[str | None]


def minimise(
    model: FrozenModel,
    rows: Sequence[Row],
    params: Params,
    build: Build,
    schedule: Schedule,
    pad: int,
    objective: Objective = cross_entropy,
    constrain: Callable[[Params, Tensor], None] | None = None,
    standing: Mapping[Site, Delta] | None = None,
    fixed: Mapping[str, Tensor] | None = None,
) -> Fit:
    """Minimises every stream's objective over its own parameters.

    ``rows`` name streams 0 … S - 1 and ``params`` are (S, …); ``build`` makes the deltas of a subset of streams from their
    parameters. ``constrain(params, streams)`` may change the parameters of the active ``streams`` in place after a step.
    ``standing`` are the deltas of earlier edits, which stay in place and as they are. ``fixed`` are tensors (S, …) that
    ``build`` is given with the parameters, under names of their own, and that are not trained.
    A stream whose objective stops being finite gets its first parameters back, and an error.
    """
    count = len(next(iter(params.values())))
    order = sorted(range(len(rows)), key=lambda i: rows[i].stream)
    rows = [rows[i] for i in order]
    beside = dict(fixed or {})
    with torch.no_grad():
        where = {site: delta.where for site, delta in build({**beside, **params}).items()}
    held = prepare(model, rows, where, pad, standing)
    done = Fit(
        {name: p.detach().clone() for name, p in params.items()}, [0] * count, [math.nan] * count, [None] * count
    )
    active = torch.arange(count, device=model.device)
    current = {name: p.detach().clone().requires_grad_() for name, p in params.items()}
    adam = Adam(current, schedule.lr, schedule.decay)
    reads, targets = held.reads, held.targets
    for step in range(schedule.steps + 1):
        deltas = build({**beside, **current})
        logits = held.logits(deltas, reads).to(model.precision)
        losses = objective(_reading(held, logits, reads, targets, active), deltas)
        bad = ~torch.isfinite(losses.total.detach())
        last = torch.full_like(bad, step == schedule.steps)
        leaving = bad | last | (losses.fit.detach() < schedule.tolerance)
        if bool(leaving.any()):
            _record(done, current, active, leaving, bad, losses.fit.detach(), step)
            keep = torch.nonzero(~leaving)[:, 0]
            if not len(keep):
                break
        gradients = torch.autograd.grad(losses.total[~leaving].sum(), list(current.values()))
        grads = dict(zip(current, gradients, strict=True))
        if bool(leaving.any()):
            active = active[keep]
            current = {name: p.detach()[keep].requires_grad_() for name, p in current.items()}
            beside = {name: t[keep] for name, t in beside.items()}
            grads = {name: g[keep] for name, g in grads.items()}
            adam.keep(keep)
            held = _without(held, keep.tolist())
            reads, targets = held.reads, held.targets
        adam.step(current, grads)
        if constrain is not None:
            with torch.no_grad():
                constrain(current, active)
    return done


def _reading(held: Prepared, logits: Tensor, reads: Reads, targets: Tensor, active: Tensor) -> Reading:
    return Reading(logits, targets, reads.row, held.rows, held.batch.stream, active)


def _record(done: Fit, current: Params, active: Tensor, leaving: Tensor, bad: Tensor, fit: Tensor, step: int) -> None:
    for local in torch.nonzero(leaving)[:, 0].tolist():
        stream = int(active[local])
        done.steps[stream] = step
        done.loss[stream] = float(fit[local])
        if bool(bad[local]):
            done.errors[stream] = f"the loss was not finite at step {step}"
            continue
        for name, p in current.items():
            done.params[name][stream] = p.detach()[local]


def _without(held: Prepared, keep: list[int]) -> Prepared:
    renumbered = {old: new for new, old in enumerate(keep)}
    return held.select([i for i, row in enumerate(held.rows) if row.stream in renumbered], renumbered)


def _mean_by(values: Tensor, group: Tensor, groups: int) -> Tensor:
    total = torch.zeros(groups, dtype=values.dtype, device=values.device).index_add(0, group, values)
    counts = torch.zeros(groups, dtype=values.dtype, device=values.device).index_add(0, group, torch.ones_like(values))
    return total / counts.clamp(min=1)
