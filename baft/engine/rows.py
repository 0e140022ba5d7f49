"""Rows (one tokenised text of one stream) and their padded batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Row:
    """A text of one stream.

    ``ids`` are the prompt's tokens, then any forced ones. ``prompt`` is the number of prompt tokens. ``mark`` is the
    position of a marked token (ROME: the subject's last), or -1. ``reads`` are the pairs (position, token) whose
    log-probability the caller wants: the logits at ``position`` predict ``token``; -1 asks for the logits alone.
    """

    stream: int
    ids: tuple[int, ...]
    prompt: int
    mark: int = -1
    reads: tuple[tuple[int, int], ...] = ()

    @staticmethod
    def forced(stream: int, prompt: Sequence[int], answer: Sequence[int], mark: int = -1) -> Row:
        """Prompt and answer with every answer token read: teacher forcing. The last answer token is never input."""
        start = len(prompt) - 1
        reads = tuple((start + j, token) for j, token in enumerate(answer))
        return Row(stream, (*prompt, *answer[:-1]), len(prompt), mark, reads)


@dataclass(frozen=True)
class Batch:
    """Rows padded together: column ``c`` of row ``b`` holds its token at position ``c + base[b]``.

    ``ids`` (B, T) int64, ``base`` (B,), ``prompt`` (B,), ``mark`` (B,), ``length`` (B,) tokens in all, ``stream`` (B,).
    ``base`` is 0 in a right-padded batch, negative where a row is padded on the left, positive where the first tokens
    of a row are held in a cache.
    """

    ids: Tensor
    base: Tensor
    prompt: Tensor
    mark: Tensor
    length: Tensor
    stream: Tensor

    @property
    def positions(self) -> Tensor:
        """(B, T) int64: position of each column's token in its row; outside 0 … length - 1 there is padding."""
        return torch.arange(self.ids.shape[1], device=self.ids.device) + self.base[:, None]

    @property
    def real(self) -> Tensor:
        """(B, T) bool: columns that hold a token."""
        positions = self.positions
        return (positions >= 0) & (positions < self.length[:, None])

    @property
    def prompts(self) -> Tensor:
        """(B, T) bool: columns that hold a token of the prompt."""
        positions = self.positions
        return (positions >= 0) & (positions < self.prompt[:, None])

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))

    def select(self, rows: Tensor) -> Batch:
        """Some of the rows, in the order given."""
        return Batch(*(getattr(self, field.name)[rows] for field in fields(self)))


def collate(rows: Sequence[Row], device: torch.device, pad: int, base: Sequence[int] | None = None) -> Batch:
    """A batch of ``rows`` from position ``base`` of each on (0 by default; negative: padding on the left)."""
    start = list(base) if base is not None else [0] * len(rows)
    width = max(len(row.ids) - b for row, b in zip(rows, start, strict=True))
    ids = torch.full((len(rows), width), pad, dtype=torch.int64)
    for i, (row, b) in enumerate(zip(rows, start, strict=True)):
        tokens = torch.tensor(row.ids[max(b, 0) :], dtype=torch.int64)
        offset = max(-b, 0)
        ids[i, offset : offset + len(tokens)] = tokens

    def column(values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=device)

    return Batch(
        ids.to(device),
        column(start),
        column([row.prompt for row in rows]),
        column([row.mark for row in rows]),
        column([len(row.ids) for row in rows]),
        column([row.stream for row in rows]),
    )


class Grouping:
    """Lays rows out by stream, so that each stream's parameters are read once and used in one batched product."""

    def __init__(self, stream: Tensor):
        self.present, group, counts = torch.unique(stream, return_inverse=True, return_counts=True)
        most = int(counts.max())
        order = torch.argsort(group, stable=True)
        first = torch.cumsum(counts, 0) - counts
        slot = torch.empty_like(group)
        slot[order] = torch.arange(len(group), device=stream.device) - first[group[order]]
        self._shape = (len(self.present), most)
        self._flat = group * most + slot
        # Already laid out: rows sorted by stream, equally many each.
        self._trivial = len(group) == len(self.present) * most and bool(
            (self._flat == torch.arange(len(group), device=stream.device)).all()
        )

    def gather(self, x: Tensor) -> Tensor:
        """(B, T, d) to (S', n·T, d), S' streams present and n the most rows of one; surplus rows are zeros.

        Not copies of a row: one with values that are not finite would give another stream gradients that are not.
        """
        rows = x
        if not self._trivial:
            rows = x.new_zeros(self._shape[0] * self._shape[1], *x.shape[1:]).index_copy(0, self._flat, x)
        return rows.reshape(self._shape[0], self._shape[1] * x.shape[1], x.shape[2])

    def scatter(self, y: Tensor, tokens: int) -> Tensor:
        """(S', n·T, k) back to (B, T, k)."""
        rows = y.reshape(self._shape[0] * self._shape[1], tokens, y.shape[2])
        return rows if self._trivial else rows[self._flat]


def chosen(tensor: Tensor, index: Tensor) -> Tensor:
    """The entries ``index`` (int64, on any device) of the first dimension of ``tensor``, on its own device."""
    return tensor[index.to(tensor.device)]


def mean_over(values: Tensor, tokens: Tensor) -> Tensor:
    """The mean (B, d) of ``values`` (B, T, d) over the ``tokens`` (B, T) bool of each row, of which there are some."""
    real = tokens[..., None]
    return torch.where(real, values, 0.0).sum(1) / real.sum(1)


LARGE = 1 << 16
"""Numbers of an entry from which on :func:`kept` moves entries one by one."""


def kept(tensor: Tensor, index: Tensor) -> Tensor:
    """What :func:`chosen` gives for an ascending ``index``; the memory of ``tensor``, which is used up, may be used again.

    Where entries are whole matrices a copy of nearly all of them costs as much as a step of training.
    """
    if not len(tensor) or tensor[0].numel() < LARGE:
        return chosen(tensor, index)
    for new, old in enumerate(index.tolist()):
        if new != old:
            tensor[new].copy_(tensor[old])
    return tensor[: len(index)]
