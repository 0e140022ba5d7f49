"""ZsRE in the form of MEND: ``{"subject", "src", "alt", "answers", "rephrase", "loc", "loc_ans"}``.

``loc`` is a question that has nothing to do with the edit, on which methods may train. So that no question both trains
and judges, the questions are divided by a hash of their own text, two of three for training. Every record gets one of
the one part as ``irrelevant`` and one of the other as ``locality`` probe: its own where it is of that part, else the
next one of the file. The division is the same in every file and with every limit.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Sequence

from baft.benchmarks.drafts import Draft, Entry, Fields, Format, begin, sole_revision
from baft.benchmarks.probes import add_probes
from baft.benchmarks.values import text

UNRELATED = "Unrelated"


def parser(entries: Sequence[Entry]) -> Callable[[Entry], Draft]:
    """Reads a record with one unrelated question to train on and another to be judged by."""
    asked = [entry for entry in entries if text(entry.row.get("loc")) and text(entry.row.get("loc_ans"))]
    training = [entry for entry in asked if is_training(text(entry.row.get("loc")))]
    judging = [entry for entry in asked if not is_training(text(entry.row.get("loc")))]

    def parse(entry: Entry) -> Draft:
        row = entry.row
        draft = begin(row.get("subject"), row.get("src"), row.get("alt"), truth=row.get("answers"))
        add_probes(draft, row, without=("loc",))
        if other := _from(training, entry.position):
            draft.irrelevant = (text(other.row.get("loc")),)
        if other := _from(judging, entry.position):
            draft.add("locality", UNRELATED, other.row.get("loc"), other.row.get("loc_ans"))
        return draft

    return parse


def is_training(question: str) -> bool:
    """Whether the unrelated ``question`` is one to train on, rather than to judge by."""
    return hashlib.sha256(question.lower().encode("utf-8")).digest()[0] % 3 != 0


def is_mend(row: Fields) -> bool:
    """MEND's form."""
    return {"src", "alt"} <= row.keys()


def _from(entries: Sequence[Entry], position: int) -> Entry | None:
    """The first entry at ``position`` or later, going round at the end."""
    if not entries:
        return None
    return entries[bisect_left(entries, position, key=lambda entry: entry.position) % len(entries)]


MEND = Format("zsre-mend", is_mend, parser, sole_revision)
