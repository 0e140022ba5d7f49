"""Sampling whose noise is drawn beforehand, so that no draw depends on the order of the run or on a batch's size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from baft.engine.asking import Choose, end_tokens
from baft.engine.engine import Engine


def top_k(noise: Tensor) -> Choose:
    """Draws from the k most probable tokens by ``noise`` (Q, T, k), uniform in [0, 1): of Q questions at T steps."""
    uniform = noise.clamp(1e-6, 1 - 1e-6)

    def choose(logits: Tensor, questions: Sequence[int], step: int) -> Tensor:
        top = logits.float().topk(noise.shape[-1], -1)
        # Gumbel's trick: the largest of log p − log(−log u) is a draw from p.
        own = uniform[list(questions), step].to(logits.device)
        best = (top.values - torch.log(-torch.log(own))).argmax(-1)
        return top.indices.gather(1, best[:, None])[:, 0]

    return choose


def endless(engine: Engine, choose: Choose) -> Choose:
    """``choose`` among the tokens that do not end a text, so that all texts become equally long."""
    ends = torch.tensor(sorted(end_tokens(engine.model, engine.text)), dtype=torch.int64, device=engine.model.device)

    def among_others(logits: Tensor, questions: Sequence[int], step: int) -> Tensor:
        return choose(logits.index_fill(-1, ends, -torch.inf), questions, step)

    return among_others
