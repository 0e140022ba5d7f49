"""A user's own file, JSONL or CSV: columns ``prompt`` and ``target``, and optionally more.

``subject``, ``id``, ``aliases`` (further accepted targets), ``truth``, ``rephrase``, ``irrelevant``; ``locality`` with
``locality_answer`` and ``portability`` with ``portability_answer``. Each may be numbered to give several:
``rephrase_2``, ``locality_2`` with ``locality_answer_2`` … In JSONL a value may be a list, and ``locality`` and
``portability`` may have KnowEdit's form, groups of ``{"prompt", "ground_truth"}``.
"""

from __future__ import annotations

import re
from typing import Any

from baft.benchmarks.drafts import Draft, Format, Row, begin, every_row, group_probes, rephrase, sole_revision
from baft.benchmarks.records import Kind
from baft.benchmarks.values import aliases


def parse(row: Row) -> Draft:
    """One record of such a file."""
    draft = begin(
        row.get("subject"), row.get("prompt"), row.get("target"), more=_column(row, "aliases"), truth=row.get("truth")
    )
    draft.irrelevant = aliases(_column(row, "irrelevant"))
    rephrase(draft, _column(row, "rephrase"))
    _probes(draft, "portability", row)
    _probes(draft, "locality", row)
    return draft


def is_plain(row: Row) -> bool:
    """A row with a prompt and a target."""
    return {"prompt", "target"} <= row.keys()


def _column(row: Row, name: str) -> list[Any]:
    """Values of ``name``, ``name_1``, ``name_2`` … in the order of the row."""
    return [value for key, value in row.items() if re.fullmatch(rf"{name}(_\d+)?", str(key))]


def _probes(draft: Draft, kind: Kind, row: Row) -> None:
    for key, value in row.items():
        numbered = re.fullmatch(rf"{kind}(_\d+)?", str(key))
        if not numbered or value is None or value == "":
            continue
        if isinstance(value, dict):
            group_probes(draft, kind, value)
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            group_probes(draft, kind, {"": value})
        else:
            draft.add(kind, "", value, row.get(f"{kind}_answer{numbered[1] or ''}"))


PLAIN = Format("plain", is_plain, every_row(parse), sole_revision)
