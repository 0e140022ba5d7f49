"""General drift: how much likelier or less likely an edit makes ordinary text that has nothing to do with it.

The text is the project's own ``resources/text.txt``, which no method trains on and no key moments are collected from. It
is put to the model like a probe, the opening of a passage as the prompt and what follows as the answer, so that an edit
which acts at the prompt alone acts here too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

from baft.benchmarks.text import load_passages
from baft.engine.asking import Decoding, Question
from baft.engine.deltas import Delta
from baft.engine.engine import Engine
from baft.engine.sites import Site
from baft.engine.state import EditState

OPENING, SCORED = 12, 36
"""Words of a piece that are the prompt, and words whose tokens are scored."""

_MOST = 50.0


def mean_nll(engine: Engine, deltas: Mapping[Site, Delta], streams: Sequence[int], tokens: int) -> list[float]:
    """Negative log-probability (nats a token) of general text under each stream; exp of it is the perplexity.

    About ``tokens`` tokens, prompts included, are read for each stream, spread over the whole text.
    """
    pieces = [
        (tuple(engine.text.prompt(opening)), tuple(engine.text.answer(opening, rest))) for opening, rest in _pieces()
    ]
    whole = sum(len(prompt) + len(answer) for prompt, answer in pieces)
    count = min(len(pieces), max(1, round(tokens * len(pieces) / whole)))
    chosen = [pieces[k * len(pieces) // count] for k in range(count)]
    questions = [Question(stream, prompt, (answer,)) for stream in streams for prompt, answer in chosen]
    replies = engine.ask(deltas, questions, Decoding(0))
    found = []
    for start in range(0, len(replies), count):
        logprobs = [value for reply in replies[start : start + count] for value in reply.forced[0].logprob]
        found.append(-sum(logprobs) / len(logprobs))
    return found


def perplexity_ratios(engine: Engine, state: EditState, unedited: float | None, tokens: int) -> list[float | None]:
    """Each stream's perplexity of general text over the unedited model's, whose :func:`mean_nll` is ``unedited``.

    None where it is not asked for, or where a model's probabilities are not numbers.
    """
    if unedited is None or not tokens:
        return [None] * state.streams
    streams = range(state.streams)
    after = mean_nll(engine, state.deltas, streams, tokens) if state.deltas else [unedited] * len(streams)
    # A ruined model's perplexity has no end, and the mean over many must have one.
    return [None if math.isnan(own) else math.exp(min(own - unedited, _MOST)) for own in after]


@lru_cache
def _pieces() -> tuple[tuple[str, str], ...]:
    found = []
    for passage in load_passages():
        words = passage.split()
        for start in range(0, len(words), OPENING + SCORED):
            piece = words[start : start + OPENING + SCORED]
            if len(piece) > OPENING:
                found.append((" ".join(piece[:OPENING]), " ".join(piece[OPENING:])))
    return tuple(found)
