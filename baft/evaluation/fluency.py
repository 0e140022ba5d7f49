"""Fluency: the n-gram entropy of sampled text, which falls when an edited model repeats itself.

Meng et al. (2022) sample from the five most probable tokens; so does this, with noise that depends on the probe alone. A
probe's texts of all edited models and of the unedited one come from the same noise, in whatever order they are made.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import torch

from baft.engine.asking import Choose
from baft.engine.engine import Engine
from baft.engine.sampling import endless, top_k
from baft.methods.base import generator
from baft.words import UNSPACED

CHOICES = 5
"""Most probable tokens that are drawn from."""

# Scripts without spaces between words count by the character, the others by the word; punctuation marks are words.
_WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+|[^\w\s]")


def sampler(engine: Engine, probes: Sequence[tuple[str, str, int]], tokens: int) -> Choose:
    """Sampling of ``tokens`` tokens for questions that are ``probes``: record id, group and index."""
    if not probes:
        return endless(engine, top_k(torch.zeros(0, tokens, CHOICES)))
    noise = [
        torch.rand(tokens, CHOICES, dtype=torch.float32, generator=generator("fluency", *probe)) for probe in probes
    ]
    return endless(engine, top_k(torch.stack(noise)))


def n_gram_entropy(text: str) -> float:
    """H₂/3 + 2·H₃/3 in bits, Hₙ the entropy of the n-grams of words and punctuation marks; 0 for a text of two words."""
    words = _WORD.findall(text)
    return _entropy(words, 2) / 3 + 2 * _entropy(words, 3) / 3


def _entropy(words: Sequence[str], n: int) -> float:
    counts = torch.tensor([*Counter(zip(*(words[k:] for k in range(n)), strict=False)).values()], dtype=torch.float64)
    shares = counts / counts.sum()
    return float(-(shares * shares.log2()).sum())
