"""KnowEdit's wiki_recent, wiki_counterfact and ZsRE, which share one form.

``{"subject", "prompt", "target_new", "ground_truth", "rephrase" | "rephrase_prompt", "portability": {group: [{"prompt",
"ground_truth"}]}, "locality": {…}}``. The old revision of the two wiki files has no rephrasings.
"""

from __future__ import annotations

from collections.abc import Sequence

from baft.benchmarks.drafts import Draft, Entry, Fields, Format, every_row
from baft.benchmarks.names import PROBES, probe_field
from baft.benchmarks.probes import draft_of
from baft.benchmarks.values import aliases


def parse(row: Fields) -> Draft:
    """One record: rephrasings become ``generality``; the groups of the other probes keep their names."""
    return draft_of(row, "prompt", "target_new")


def is_zsre(row: Fields) -> bool:
    """ZsRE as in KnowEdit."""
    return {"prompt", "target_new"} <= row.keys() and not {"cond", "rephrase_prompt"}.isdisjoint(row)


def is_wiki(row: Fields) -> bool:
    """wiki_recent or wiki_counterfact."""
    return {"prompt", "target_new"} <= row.keys()


def wiki_revision(entries: Sequence[Entry]) -> str:
    """``new`` with rephrasings, ``old`` without any."""
    return "new" if any(_has_rephrasing(entry.row) for entry in entries) else "old"


def _has_rephrasing(row: Fields) -> bool:
    fields = [key for key in row if (found := probe_field(key)) and PROBES[found[0]].kind == "generality"]
    return bool(aliases([row[key] for key in fields]))


def zsre_revision(entries: Sequence[Entry]) -> str:
    """Published with 1,304 and with 1,301 records, told apart by their number alone."""
    return f"{len(entries)} records"


ZSRE = Format("knowedit-zsre", is_zsre, every_row(parse), zsre_revision)
WIKI = Format("knowedit-wiki", is_wiki, every_row(parse), wiki_revision)
