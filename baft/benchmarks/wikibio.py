"""KnowEdit's WikiBio, ``{"text", "labels", "concept", "locality"}``: a passage to be continued with a sentence."""

from __future__ import annotations

from baft.benchmarks.drafts import Draft, Fields, Format, begin, every_row, sole_revision
from baft.benchmarks.probes import add_probes


def parse(row: Fields) -> Draft:
    """One record: the passage is the prompt, the sentence the target, the person the subject; it has locality only."""
    draft = begin(row.get("concept"), row.get("text"), row.get("labels"))
    add_probes(draft, row)
    return draft


def is_wikibio(row: Fields) -> bool:
    """A row with a text, its continuation and its concept."""
    return {"text", "labels", "concept"} <= row.keys()


WIKIBIO = Format("knowedit-wikibio", is_wikibio, every_row(parse), sole_revision)
