"""From requests to training rows."""

from __future__ import annotations

from collections.abc import Sequence

from baft.engine.engine import Engine
from baft.engine.joint import joint
from baft.engine.rows import Row
from baft.methods.base import Batches, Request, forced_length


def prompt_rows(engine: Engine, prompts: Sequence[str]) -> list[Row]:
    """One row a prompt, to be read by the unedited model."""
    return [Row(0, tuple(ids), len(ids)) for ids in map(engine.text.prompt, prompts)]


def edit_rows(engine: Engine, batches: Batches, contexts: Sequence[str] = ()) -> list[Row]:
    """One forced row a request, and one more for each of ``contexts`` put before its prompt."""
    return [
        forced_row(engine, stream, request, context)
        for stream, batch in enumerate(batches)
        for request in batch
        for context in ("", *contexts)
    ]


def row_lengths(engine: Engine, request: Request, contexts: Sequence[str] = ()) -> list[int]:
    """Tokens of each of a request's rows of :func:`edit_rows`."""
    return [forced_length(engine, _behind(context, request.prompt), request.target) for context in ("", *contexts)]


def forced_row(engine: Engine, stream: int, request: Request, context: str = "") -> Row:
    """The request's target forced behind its prompt, with ``context`` before it."""
    prompt = _behind(context, request.prompt)
    return Row.forced(stream, engine.text.prompt(prompt), engine.text.answer(prompt, request.target))


def _behind(context: str, prompt: str) -> str:
    """``prompt`` as it goes on behind a text, with the space that their script asks for."""
    return context + joint(context, prompt) + prompt
