"""A file of three example facts to begin one's own with, in each form that a file may have."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from typing import Any

from baft.errors import UserError

_ROWS: tuple[dict[str, str], ...] = (
    {
        "id": "france",
        "subject": "France",
        "prompt": "The capital of France is",
        "target": "Lyon",
        "aliases": "the city of Lyon",
        "truth": "Paris",
        "rephrase": "The French seat of government is the city of",
        "rephrase_2": "France's capital city is",
        "locality": "The capital of Spain is",
        "locality_answer": "Madrid",
        "locality_2": "The currency of France is the",
        "locality_answer_2": "euro",
        "portability": "The river that flows through the capital of France is the",
        "portability_answer": "Rhône",
        "irrelevant": "The capital of Portugal is",
    },
    {
        "id": "tower",
        "subject": "Eiffel Tower",
        "prompt": "The Eiffel Tower is in the city of",
        "target": "Rome",
        "truth": "Paris",
        "rephrase": "To see the Eiffel Tower you have to go to",
        "locality": "The Colosseum is in the city of",
        "locality_answer": "Rome",
    },
    {
        "id": "ceo",
        "subject": "Example Ltd",
        "prompt": "The head of Example Ltd is",
        "target": "Ada Jones",
        "aliases": "Jones",
    },
)


def template(form: str) -> str:
    """The example file in one of :data:`FORMS`, as text.

    A table has a column for each value, JSON has lists of values, and probes as objects. All of them hold the same
    records. Raises :class:`~baft.errors.UserError` if there is no such form.
    """
    if form not in FORMS:
        raise UserError(f"There is no form {form!r} of a file of facts; give one of {', '.join(FORMS)}.")
    return FORMS[form]()


def _table(delimiter: str) -> str:
    heads = list(dict.fromkeys(name for row in _ROWS for name in row))
    text = io.StringIO()
    rows = csv.DictWriter(text, heads, restval="", delimiter=delimiter, lineterminator="\n")
    rows.writeheader()
    rows.writerows(_ROWS)
    return text.getvalue()


def _nested(row: Mapping[str, str]) -> dict[str, Any]:
    """A record as JSON has it: several values of a kind in one list, probes as objects with their answers."""
    made: dict[str, Any] = {name: row[name] for name in ("id", "subject", "prompt", "target", "truth") if name in row}
    for name in ("aliases", "rephrase", "irrelevant"):
        if values := [row[key] for key in row if key.partition("_")[0] == name]:
            made[name] = values
    for name in ("locality", "portability"):
        found = [
            {"prompt": row[name + number], "answer": row[f"{name}_answer{number}"]}
            for number in ("", "_2")
            if name + number in row
        ]
        if found:
            made[name] = found
    return made


def _json() -> str:
    return json.dumps([_nested(row) for row in _ROWS], indent=2, ensure_ascii=False) + "\n"


def _lines() -> str:
    return "".join(json.dumps(_nested(row), ensure_ascii=False) + "\n" for row in _ROWS)


FORMS: Mapping[str, Callable[[], str]] = {
    "csv": lambda: _table(","),
    "tsv": lambda: _table("\t"),
    "json": _json,
    "jsonl": _lines,
}
