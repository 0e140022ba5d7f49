"""Training deltas by gradient descent, many streams at once, each with its own loss, optimiser and end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from baft.engine.adam import Adam
from baft.engine.deltas import Delta
from baft.engine.frozen import FrozenModel
from baft.engine.passes import Passes, by_pass, prepare_passes
from baft.engine.rows import Row, chosen, kept
from baft.engine.sgd import Optimiser
from baft.engine.sites import Site

Params = dict[str, Tensor]
Build = Callable[[Mapping[str, Tensor]], Mapping[Site, Delta]]


@dataclass(frozen=True)
class Schedule:
    """``steps`` at most; a stream ends before the step at which its fit is below ``tolerance``, after ``least`` steps."""

    steps: int
    lr: float | Mapping[str, float]
    tolerance: float = 0.0
    least: int = 0


@dataclass(frozen=True)
class Reading:
    """What an objective sees at one step, of B rows of the A active ``streams`` (A,) int64; neither are in any order.

    At each of P places ``nlls`` (P,) are the sums of −log p (nats) over the ``counts`` (P,) tokens forced there; ``row`` is
    (P,) a place's row, and ``row_stream`` (B,) where a row's stream is among ``streams``. ``logits`` (M, V) are those at
    reads without a token, in the order of ``streams``. All in the model's precision.
    """

    nlls: Tensor
    counts: Tensor
    row: Tensor
    row_stream: Tensor
    streams: Tensor
    logits: Tensor

    def nll(self) -> Tensor:
        """Masked cross-entropy (A,): mean over a row's forced tokens, then over a stream's rows that have some."""
        rows = len(self.row_stream)
        counts = _sum_by(self.counts, self.row, rows)
        per_row = _sum_by(self.nlls, self.row, rows) / counts.clamp(min=1)
        forced = (counts > 0).to(counts.dtype)
        of_stream = _sum_by(forced, self.row_stream, len(self.streams))
        return _sum_by(per_row * forced, self.row_stream, len(self.streams)) / of_stream.clamp(min=1)


@dataclass(frozen=True)
class Losses:
    """``total`` (A,) is what is minimised; ``fit`` (A,) is what ends a stream once it is below the tolerance.

    Where ``ended`` (A,) bool is given, it says instead which streams end here.
    """

    total: Tensor
    fit: Tensor
    ended: Tensor | None = None


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
    optimiser: Callable[[Params, float | Mapping[str, float]], Optimiser] = Adam,
) -> Fit:
    """Minimises every stream's objective over its own parameters.

    ``rows`` name streams 0 … S - 1 and ``params`` are (S, …); ``build`` makes the deltas of a subset of streams from their
    parameters. ``constrain(params, streams)`` may change the parameters of the active ``streams`` in place after a step.
    ``standing`` are the deltas of earlier edits, which stay in place and as they are. ``fixed`` are tensors (S, …) that
    ``build`` is given with the parameters, under names of their own, and that are not trained. ``optimiser`` makes, from the
    parameters and the schedule's learning rates, what takes the steps.
    A stream whose objective stops being finite gets its first parameters back, and an error.
    """
    count = len(next(iter(params.values())))
    beside = dict(fixed or {})
    with torch.no_grad():
        where = {site: delta.where for site, delta in build({**beside, **params}).items()}
    # Numbered by pass, so that the parameters of a pass are found without a copy at each step.
    order = by_pass(model, rows, where)
    number = {stream: n for n, stream in enumerate(order)}
    active = torch.tensor(order, dtype=torch.int64, device=model.device)
    numbered = [replace(row, stream=number[row.stream]) for row in rows]
    constant = {site: delta.select(active) for site, delta in (standing or {}).items()}
    held = prepare_passes(model, numbered, where, pad, constant)
    done = Fit(
        {name: p.detach().clone() for name, p in params.items()}, [0] * count, [math.nan] * count, [None] * count
    )
    beside = {name: chosen(t, active) for name, t in beside.items()}
    current = {name: chosen(p.detach(), active).contiguous().requires_grad_() for name, p in params.items()}
    steps = optimiser(current, schedule.lr)
    for step in range(schedule.steps + 1):
        deltas = build({**beside, **current})
        losses = objective(read(model, held, deltas, active), deltas)
        bad = ~torch.isfinite(losses.total.detach())
        last = torch.full_like(bad, step == schedule.steps)
        ended = losses.fit.detach() < schedule.tolerance if losses.ended is None else losses.ended
        leaving = bad | last | (ended & (step >= schedule.least))
        if bool(leaving.any()):
            _record(done, current, active, leaving, bad, losses.fit.detach(), step)
            keep = torch.nonzero(~leaving)[:, 0]
            if not len(keep):
                break
        gradients = torch.autograd.grad(losses.total[~leaving].sum(), list(current.values()))
        steps.step(current, dict(zip(current, gradients, strict=True)))
        if constrain is not None:
            with torch.no_grad():
                constrain(current, active)
        if bool(leaving.any()):
            active = active[keep]
            current = {name: kept(p.detach(), keep).requires_grad_() for name, p in current.items()}
            beside = {name: chosen(t, keep) for name, t in beside.items()}
            steps.keep(keep)
            held = held.select({old: new for new, old in enumerate(keep.tolist())})
    return done


def read(model: FrozenModel, held: Passes, deltas: Mapping[Site, Delta], active: Tensor) -> Reading:
    """What the model says of the rows that are ``held`` with ``deltas`` in place, those of the streams ``active``."""
    states = held.states(deltas)
    nlls = model.nll(states, *held.forced)
    # The head is asked only where it must be: with no state at all it would still run.
    logits = model.head(states[held.free]).to(model.precision) if len(held.free) else nlls.new_zeros(0, 0)
    return Reading(nlls, held.counts.to(nlls.dtype), held.row, held.stream, active, logits)


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


def _sum_by(values: Tensor, group: Tensor, groups: int) -> Tensor:
    return torch.zeros(groups, dtype=values.dtype, device=values.device).index_add(0, group, values)
