"""A user's own file, JSON, JSON Lines or CSV: fields ``prompt`` and ``target``, and optionally more.

``subject``, ``id``, ``aliases`` (further accepted targets), ``truth``, ``rephrase``, ``irrelevant``; ``locality`` with
``locality_answer`` and ``portability`` with ``portability_answer``; and every other name of
:mod:`baft.benchmarks.names`. Each may be numbered to give several: ``rephrase_2``, ``locality_2`` with
``locality_answer_2`` … In JSON a value may be a list, and probes may be objects (:mod:`baft.benchmarks.probes`). QAEdit's
file has this form.

Question and answer are read like prompt and target. WikiBigEdit (``update``, ``ans``), UnKE and HalluEditBench (``question``
with ``answer`` or ``object``) have that form.
"""

from __future__ import annotations

from baft.benchmarks.drafts import Draft, Fields, Format, every_row, sole_revision
from baft.benchmarks.probes import draft_of

_QUESTIONS = ("question", "update", "prompt")
_ANSWERS = ("answer", "ans", "object", "target")


def parse(row: Fields) -> Draft:
    """One record of such a file."""
    return draft_of(row, "prompt", "target")


def parse_question(row: Fields) -> Draft:
    """One record with a question and its answer after the edit."""
    return draft_of(row, _first(row, _QUESTIONS), _first(row, _ANSWERS))


def is_plain(row: Fields) -> bool:
    """A row with a prompt and a target."""
    return {"prompt", "target"} <= row.keys()


def is_question(row: Fields) -> bool:
    """A row with a question and an answer, under one of the names of public files."""
    return bool(_first(row, _QUESTIONS) and _first(row, _ANSWERS))


def _first(row: Fields, names: tuple[str, ...]) -> str:
    return next((name for name in names if name in row), "")


PLAIN = Format("plain", is_plain, every_row(parse), sole_revision)
QUESTIONS = Format("questions", is_question, every_row(parse_question), sole_revision)
