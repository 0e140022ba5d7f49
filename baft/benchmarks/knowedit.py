"""KnowEdit's wiki_recent, wiki_counterfact and ZsRE, which share one form.

``{"subject", "prompt", "target_new", "ground_truth", "rephrase" | "rephrase_prompt", "portability": {group: [{"prompt",
"ground_truth"}]}, "locality": {…}}``. The old revision of the two wiki files has no rephrasings.
"""

from __future__ import annotations

from collections.abc import Sequence

from baft.benchmarks.drafts import Draft, Entry, Format, Row, begin, every_row, group_probes, rephrase
from baft.benchmarks.values import aliases

REPHRASINGS = ("rephrase", "rephrase_prompt", "rephrase_prompts")


def parse(row: Row) -> Draft:
    """One record: rephrasings become ``generality``; the groups of the other probes keep their names."""
    draft = begin(row.get("subject"), row.get("prompt"), row.get("target_new"), truth=row.get("ground_truth"))
    rephrase(draft, [row.get(key) for key in REPHRASINGS])
    group_probes(draft, "portability", row.get("portability"))
    group_probes(draft, "locality", row.get("locality"))
    return draft


def is_zsre(row: Row) -> bool:
    """ZsRE as in KnowEdit."""
    return {"prompt", "target_new"} <= row.keys() and not {"cond", "rephrase_prompt"}.isdisjoint(row)


def is_wiki(row: Row) -> bool:
    """wiki_recent or wiki_counterfact."""
    return {"prompt", "target_new"} <= row.keys()


def wiki_revision(entries: Sequence[Entry]) -> str:
    """``new`` with rephrasings, ``old`` without any."""
    return "new" if any(aliases([entry.row.get(key) for key in REPHRASINGS]) for entry in entries) else "old"


def zsre_revision(entries: Sequence[Entry]) -> str:
    """Published with 1,304 and with 1,301 records, told apart by their number alone."""
    return f"{len(entries)} records"


ZSRE = Format("knowedit-zsre", is_zsre, every_row(parse), zsre_revision)
WIKI = Format("knowedit-wiki", is_wiki, every_row(parse), wiki_revision)
