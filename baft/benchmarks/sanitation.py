"""KnowEdit's Sanitation: questions to be answered with "I don't know." from now on, and questions to be left alone.

``{"question", "subject", "ground_truth", "target_new"}``. Where the target is the truth the question is to be left
alone: it is no edit, but a locality probe of the edits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from baft.benchmarks.drafts import Draft, Entry, Fields, Format, begin, sole_revision
from baft.benchmarks.probes import add_probes
from baft.benchmarks.values import aliases

# Questions to be left alone that each edit is probed with.
RETAINED = 5


def parser(entries: Sequence[Entry]) -> Callable[[Entry], Draft | None]:
    """Reads an edit with the next :data:`RETAINED` questions to be left alone, going round through all of them."""
    retained = [entry.row for entry in entries if is_retained(entry.row)]
    edits = [entry.position for entry in entries if not is_retained(entry.row)]
    places = {position: place for place, position in enumerate(edits)}

    def parse(entry: Entry) -> Draft | None:
        row = entry.row
        if is_retained(row):
            return None
        draft = begin(row.get("subject"), row.get("question"), row.get("target_new"), truth=row.get("ground_truth"))
        add_probes(draft, row)
        for step in range(min(RETAINED, len(retained))):
            other = retained[(places[entry.position] * RETAINED + step) % len(retained)]
            draft.add("locality", "Retained", other.get("question"), other.get("ground_truth"))
        return draft

    return parse


def is_retained(row: Fields) -> bool:
    """Whether the question keeps its answer."""
    target = aliases(row.get("target_new"))
    return bool(target) and target[0] in aliases(row.get("ground_truth"))


def is_sanitation(row: Fields) -> bool:
    """A row with a question and its answer after the edit."""
    return {"question", "target_new"} <= row.keys()


SANITATION = Format("knowedit-sanitation", is_sanitation, parser, sole_revision)
