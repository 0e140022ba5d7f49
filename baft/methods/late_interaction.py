"""Late interaction (ColBERT's MaxSim): how much of one text's tokens another text has, each token weighed by its rarity.

Tokens are compared by their hidden states low in the model: scaled to a root mean square of 1, minus their mean over a
background of texts, and scaled to length 1, so that a product of two is a cosine.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import shake_256

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from baft.engine.deltas import unit_rms

SAME = 0.7
"""Cosine above which a background text is taken to have a key's token."""

MOST = 1 << 24
"""Cosines that are held at once."""


def token_keys(h: Tensor, mean: Tensor, width: int) -> Tensor:
    """Unit vectors (…, c) of hidden states (…, d), given the ``mean`` (…, d) of those of a background at a scale of 1.

    c is ``width``, numbers of a random projection, or d if that is not more.
    """
    centred = unit_rms(h) - mean
    if width < h.shape[-1]:
        centred = centred @ projection(h.shape[-1], width).to(centred)
    return torch.nn.functional.normalize(centred, dim=-1)


def text_keys(states: Sequence[Tensor], mean: Tensor, width: int) -> Tensor:
    """Keys (R, T, c) of the tokens of R texts with these ``states``, (n, d) each; zeros where a text has no token."""
    keys = token_keys(torch.cat(list(states)), mean, width)
    return pad_sequence(list(torch.split(keys, [len(h) for h in states])), batch_first=True)


@cache
def projection(size: int, width: int) -> Tensor:
    """Random signs (size, width), the same in every process: they keep cosines to about 1/√width (Achlioptas, 2003)."""
    # Of a hash, and no generator's: keys are saved, and those of texts are made anew, perhaps with another version.
    drawn = np.frombuffer(shake_256(f"{size} x {width}".encode()).digest(-(-size * width // 8)), np.uint8)
    signs = np.unpackbits(drawn)[: size * width].reshape(size, width)
    return 2.0 * torch.from_numpy(signs).float() - 1.0


def best_matches(keys: Tensor, queries: Tensor) -> Tensor:
    """The largest cosine of each key with any token of a text, at least 0.

    ``keys`` (G, K, d) of G groups, ``queries`` (G, R, T, d) of R texts each, zeros where a text has no token: (G, R, K).
    """
    groups, texts, tokens, width = queries.shape
    flat = queries.reshape(groups, texts * tokens, width).mT
    parts = []
    for part in torch.split(keys, max(1, MOST // max(1, groups * texts * tokens)), 1):
        cosines = (part @ flat).reshape(groups, part.shape[1], texts, tokens)
        # A text without padding has no zeros among its cosines: they count for every text.
        parts.append(cosines.amax(-1).clamp(min=0).mT)
    return torch.cat(parts, -1)


def shares(keys: Tensor, texts: Tensor) -> Tensor:
    """Of each of ``keys`` (K, d) the share of R ``texts`` (R, T, d) that have its token: (K,)."""
    return (best_matches(keys[None], texts[None])[0] > SAME).to(keys.dtype).mean(0)


def rarity(share: Tensor, count: int) -> Tensor:
    """log((1 + 1/N) / (share + 1/N)) of tokens that a ``share`` of N = ``count`` texts have: 0 of one that all have."""
    return torch.log((1 + 1 / count) / (share + 1 / count))


def weighed(matches: Tensor, weights: Tensor) -> Tensor:
    """Mean of ``matches`` (…, K) with ``weights`` (…, K) that add up to 1, or to 0 where there is nothing to match: (…)."""
    return (matches * weights).sum(-1)
