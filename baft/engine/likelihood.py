"""Likelihoods of forced tokens from what enters the output head, a few positions at a time.

Logits are as wide as the vocabulary, and several copies of them would be more than all else. Here none are kept: of the
loss of a few positions the gradient at the states is computed with it, which is exact, for the loss of a position is only
scaled by one number afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Head = Callable[[Tensor], Tensor]

CHUNK = 1 << 23
"""Logits computed at once: 32 MiB in float32, which a processor's cache may hold."""


@dataclass(frozen=True)
class Judged:
    """At each of P places the most probable token; of N forced tokens the log-probability; of M places KL(before ‖ now).

    In nats.
    """

    choices: list[int]
    logprobs: list[float]
    kl: list[float]


@torch.no_grad()
def judge(
    states: Tensor,
    position: Tensor,
    targets: Tensor,
    compared: Tensor,
    before: Tensor,
    head: Head,
    vocabulary: int,
    precision: torch.dtype,
    logits: Tensor | None = None,
) -> Judged:
    """What ``head`` makes of ``states`` (P, d): see :class:`Judged`.

    Token ``targets`` (N,) is forced at ``position`` (N,) int64; the distribution at ``compared`` (M,) int64 is compared with
    that which ``head`` makes of ``before`` (M, d). ``vocabulary`` is V, ``precision`` that of the arithmetic. ``logits``
    (P, V) are what ``head`` makes of ``states`` where that is known already.
    """
    rows = max(1, CHUNK // vocabulary)
    choices = torch.empty(len(states), dtype=torch.int64, device=states.device)
    logprobs = torch.empty(len(targets), dtype=precision, device=states.device)
    kl = torch.empty(len(compared), dtype=precision, device=states.device)
    for start in range(0, len(states), rows):
        scores = head(states[start : start + rows]) if logits is None else logits[start : start + rows]
        scores = scores.to(precision)
        total = scores.logsumexp(-1)
        choices[start : start + rows] = scores.argmax(-1)
        here = (position >= start) & (position < start + rows)
        at = position[here] - start
        logprobs[here] = scores[at, targets[here]] - total[at]
        these = (compared >= start) & (compared < start + rows)
        if bool(these.any()):
            at = compared[these] - start
            own = head(before[these]).to(precision).log_softmax(-1)
            kl[these] = (own.exp() * (own - scores[at] + total[at, None])).sum(-1).clamp(min=0)
    return Judged(choices.tolist(), logprobs.tolist(), kl.tolist())


def forced_nll(
    states: Tensor, position: Tensor, targets: Tensor, head: Head, vocabulary: int, precision: torch.dtype
) -> Tensor:
    """(P,) in ``precision``: at each of ``states`` (P, d) the sum of −log p (nats) of the ``targets`` (N,) read there.

    ``position`` (N,) int64 tells where each target is read. ``head`` makes logits (n, V) of states (n, d), each of its own
    state alone; ``vocabulary`` is V. Only the states get gradients.
    """
    rows = max(1, CHUNK // vocabulary)
    sums: Tensor = _ForcedNll.apply(states, position, targets, head, rows, precision)  # type: ignore[no-untyped-call]
    return sums


class _ForcedNll(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, states: Tensor, position: Tensor, targets: Tensor, head: Head, rows: int, precision: torch.dtype
    ) -> Tensor:
        wanted = ctx.needs_input_grad[0]
        sums = torch.zeros(len(states), dtype=precision, device=states.device)
        slopes = torch.zeros_like(states) if wanted else None
        for start in range(0, len(states), rows):
            here = (position >= start) & (position < start + rows)
            at, tokens = position[here] - start, targets[here]
            part = states[start : start + rows].detach().requires_grad_(wanted)
            with torch.set_grad_enabled(wanted):
                logits = head(part)
            logs = logits.detach().log_softmax(-1, dtype=precision)
            nll = -logs[at, tokens]
            sums[start : start + rows].index_add_(0, at, nll)
            if slopes is not None:
                counts = torch.zeros_like(sums[start : start + rows]).index_add(0, at, torch.ones_like(nll))
                slope = logs.exp_().mul_(counts[:, None])
                slope.index_put_((at, tokens), -torch.ones_like(nll), accumulate=True)
                (slopes[start : start + rows],) = torch.autograd.grad(logits, part, slope.to(logits.dtype))
        if slopes is not None:
            ctx.save_for_backward(slopes)
        return sums

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (slopes,) = ctx.saved_tensors
        return (grads[0][:, None] * slopes).to(slopes.dtype), None, None, None, None, None
