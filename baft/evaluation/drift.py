"""General drift: how much likelier or less likely an edit makes ordinary text that has nothing to do with it.

The text is leads of Wikipedia articles that are held out: no method trains on them and no key covariances are collected from
them. It is put to the model like a probe, the opening of a piece as the prompt and what follows as the answer, so that an
edit which acts at the prompt alone acts here too. A model reads only a few of the pieces, drawn by its stream's id: alike
for all methods, and different from stream to stream, so that many edits together cover the text.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import lru_cache

from baft.benchmarks.text import held_out_leads
from baft.engine.asking import Decoding, Forced, Question
from baft.engine.engine import Engine
from baft.engine.preambles import Query
from baft.engine.state import EditState
from baft.methods.base import seed_of

OPENING, SCORED = 5, 11
"""Words of a piece that are the prompt, and words whose tokens are scored."""

POOL = 48
"""Pieces in all, spread over the whole text."""

_MOST = 50.0


def unedited_nlls(engine: Engine) -> list[float]:
    """Negative log-probability (nats a token) of each piece under the unedited model; NaN of one that is too long for it."""
    read = _read(engine, None, [(0, piece) for piece in range(POOL)])
    pieces = (read.get((0, piece)) for piece in range(POOL))
    return [-sum(own.logprob) / len(own.logprob) if own is not None else math.nan for own in pieces]


def perplexity_ratios(
    engine: Engine, state: EditState, streams: Sequence[str], unedited: Sequence[float] | None, tokens: int
) -> list[float | None]:
    """Each stream's perplexity of its pieces over the unedited model's, whose :func:`unedited_nlls` are given.

    ``streams`` are the ids of the streams of ``state``, each of which reads about ``tokens`` tokens, prompts included, but
    a piece at least. None where it is not asked for; NaN where the edited model's probabilities
    are not numbers, or the unedited one's at all of the pieces. A piece that the unedited model cannot read is left out, and
    so is one that is too long for the model behind what the edits put before it; NaN where that leaves none.
    """
    if unedited is None or not tokens:
        return [None] * len(streams)
    count = min(POOL, max(1, round(tokens * POOL / _tokens(engine))))
    drawn = [random.Random(seed_of("drift", stream)).sample(range(POOL), count) for stream in streams]
    drawn = [[piece for piece in own if math.isfinite(unedited[piece])] for own in drawn]
    asked = [(s, piece) for s, own in enumerate(drawn) for piece in own]
    closed = engine.untouched(state, [_query(stream, piece) for stream, piece in asked])
    touched = [pair for pair, alone in zip(asked, closed, strict=True) if not alone]
    change = dict.fromkeys(set(asked) - set(touched), 0.0) | {
        (s, piece): -sum(now.logprob) - len(now.logprob) * unedited[piece]
        for (s, piece), now in _read(engine, state, touched).items()
    }
    drawn = [[piece for piece in own if (s, piece) in change] for s, own in enumerate(drawn)]
    return [
        _ratio([change[s, piece] for piece in own], sum(len(_scored(engine, piece)) for piece in own))
        for s, own in enumerate(drawn)
    ]


def _ratio(changes: Sequence[float], tokens: int) -> float:
    """Of the ``changes`` of the pieces' negative log-probabilities (nats), which have so many ``tokens`` together."""
    change = sum(changes) / tokens if tokens else math.nan
    # A bad model's perplexity has no end, and the mean over many must have one; one that is no number is not measured.
    return math.exp(min(change, _MOST)) if math.isfinite(change) else math.nan


def _read(engine: Engine, state: EditState | None, asked: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Forced]:
    """Of the pairs (stream, piece): what the stream's model makes of the piece, unless that is too long for it."""
    openings = engine.openings(state, [_query(stream, piece) for stream, piece in asked])
    questions = {}
    for (stream, piece), opening in zip(asked, openings, strict=True):
        prompt, scored = tuple(engine.text.prompt(opening + pool()[piece][0])), _scored(engine, piece)
        if engine.fits(len(prompt) + len(scored)):
            questions[stream, piece] = Question(stream, prompt, (scored,))
    replies = engine.ask(state, list(questions.values()), Decoding(0))
    return {pair: reply.forced[0] for pair, reply in zip(questions, replies, strict=True)}


def _query(stream: int, piece: int) -> Query:
    return Query(stream, pool()[piece][0], about="")


def _scored(engine: Engine, piece: int) -> tuple[int, ...]:
    """The tokens of a piece behind its opening."""
    opening, rest = pool()[piece]
    return tuple(engine.text.answer(opening, rest))


def _tokens(engine: Engine) -> int:
    """Tokens of all pieces."""
    return sum(len(engine.text.prompt(opening)) + len(_scored(engine, n)) for n, (opening, _) in enumerate(pool()))


@lru_cache
def pool() -> tuple[tuple[str, str], ...]:
    """The pieces, each as its opening and what follows."""
    found = []
    for lead in held_out_leads():
        words = lead.split()
        for start in range(0, len(words) - OPENING - SCORED + 1, OPENING + SCORED):
            rest = words[start + OPENING : start + OPENING + SCORED]
            found.append((" ".join(words[start : start + OPENING]), " ".join(rest)))
    return tuple(found[k * len(found) // POOL] for k in range(POOL))
