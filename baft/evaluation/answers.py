"""Comparing a decoded answer with the accepted ones."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from baft.words import unspaced

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation + "“”‘’«»、。，！？；：…–—")


def normalise(text: str) -> str:
    """SQuAD's normalisation: lower case, no punctuation, no articles, single spaces (Rajpurkar et al., 2016).

    An answer that is nothing but articles or punctuation is kept as it is, in lower case.
    """
    plain = " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())
    return plain or " ".join(text.lower().split())


def exact_match(decoded: str, answers: Sequence[str]) -> bool:
    """Whether the normalised answer equals an accepted one."""
    said = normalise(decoded)
    return any(said == normalise(answer) for answer in answers)


def starts_with(decoded: str, answers: Sequence[str]) -> bool:
    """Whether the normalised answer begins with an accepted one, whole words ('romania' doesn't begin with 'roman')."""
    said = normalise(decoded)
    return any(_begins(said, normalise(answer)) for answer in answers)


def _begins(said: str, answer: str) -> bool:
    if not answer or not said.startswith(answer):
        return False
    rest = said[len(answer) :]
    # In scripts without spaces a word may end anywhere.
    return not rest or rest[0] == " " or unspaced(answer[-1])
