"""Asks an edited model, without importing any method."""

from __future__ import annotations

from baft.engine.asking import Decoding, Question
from baft.engine.engine import Engine
from baft.engine.preambles import Query
from baft.engine.state import EditState
from tests.engine.tiny import PROMPTS


def answers(tiny: Engine, state: EditState) -> list[list[float]]:
    """Log-probabilities of an answer to every prompt by every stream, as if each were about the first edit."""
    pairs = [(s, prompt) for s in range(state.streams) for prompt in PROMPTS]
    openings = tiny.openings(state, [Query(s, prompt, "r0") for s, prompt in pairs])
    questions = [
        Question(s, tuple(tiny.text.prompt(opening + prompt)), ((5, 6),))
        for (s, prompt), opening in zip(pairs, openings, strict=True)
    ]
    return [reply.forced[0].logprob for reply in tiny.ask(state, questions, Decoding(0))]
