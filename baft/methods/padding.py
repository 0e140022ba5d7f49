"""What streams have different numbers of, as one tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


def padded_vectors(rows: Sequence[Sequence[Tensor]], size: Sequence[int], like: Tensor) -> Tensor:
    """Each stream's tensors of one ``size`` (S, n, …), zeros where a stream has fewer; dtype and device of ``like``."""
    own = [torch.stack(list(row)).to(like) if row else like.new_zeros(0, *size) for row in rows]
    return pad_sequence(own, batch_first=True)


def padded_numbers(rows: Sequence[Sequence[float]], dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
    """Each stream's numbers (S, n), zeros where a stream has fewer."""
    return pad_sequence([torch.tensor(row, dtype=dtype, device=device) for row in rows], batch_first=True)
