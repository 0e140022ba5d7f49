"""Edits of a stream that each have parts of their own; a prompt that is edited again replaces its earlier edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from baft.engine.state import EditState
from baft.methods.base import PROMPTS
from baft.methods.padding import padded_numbers


@dataclass(frozen=True)
class Apart:
    """One edit: what its stream's delta has of it, by name and without the stream, and the number of its prompt."""

    parts: Mapping[str, Tensor]
    prompt: float


def kept_apart(tensors: Mapping[str, Tensor], there: Tensor, state: EditState) -> list[list[Apart]]:
    """The edits of each stream of ``state``, of ``tensors`` (S, n, …) those that are ``there`` (S, n)."""
    prompts = state.memory[PROMPTS].tolist()
    return [
        [
            Apart({name: t[s, n] for name, t in tensors.items()}, prompts[s][n])
            for n in torch.nonzero(own)[:, 0].tolist()
        ]
        for s, own in enumerate(there)
    ]


def with_edit(edits: Sequence[Apart], new: Apart) -> list[Apart]:
    """A stream's edits with a new one, in the place of those with the same prompt."""
    # By content nobody could tell a fact told again from another one about the same subject.
    return [earlier for earlier in edits if earlier.prompt != new.prompt] + [new]


def prompts_of(streams: Sequence[Sequence[Apart]]) -> dict[str, Tensor]:
    """The memory of streams with these edits."""
    return {PROMPTS: padded_numbers([[edit.prompt for edit in edits] for edits in streams], torch.float64)}
