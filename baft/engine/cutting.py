"""Rows of different lengths cut into passes, so that little is computed for padding."""

from __future__ import annotations

from collections.abc import Sequence

import torch

PASS_TOKENS = {"cpu": 32}
"""What a pass costs besides its tokens, in tokens: reading the weights, and starting the kernels."""
_PASS_TOKENS = 2048
"""The same on other devices. On an H200 790 were measured for a model of 7B, and 50,700 for one of 135M."""


def pass_tokens(device: torch.device) -> int:
    """What a pass costs on a device besides its tokens, in tokens."""
    return PASS_TOKENS.get(device.type, _PASS_TOKENS)


def cut(lengths: Sequence[int], overhead: int) -> list[list[int]]:
    """Indices of ``lengths`` in parts, shortest first, for which padded tokens and ``overhead`` a part sum up to least.

    A part of n rows costs n times its longest, and the overhead.
    """
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    # ends[k] rows are no longer than the k-th distinct length; no best cut is between equal ones.
    ends = [j for j in range(1, len(order) + 1) if j == len(order) or lengths[order[j]] > lengths[order[j - 1]]]
    best: list[tuple[int, int]] = []
    for end in ends:
        longest = lengths[order[end - 1]]
        starts = [(0, 0, -1), *((ends[k], cost, k) for k, (cost, _) in enumerate(best))]
        best.append(min((cost + (end - start) * longest + overhead, k) for start, cost, k in starts))
    parts = []
    k = len(ends) - 1
    while k >= 0:
        before = best[k][1]
        parts.append(order[ends[before] if before >= 0 else 0 : ends[k]])
        k = before
    return parts[::-1]
