"""The file formats, and how one is recognised from a file's content."""

from __future__ import annotations

from collections.abc import Sequence

from baft.benchmarks.convsent import CONVSENT
from baft.benchmarks.counterfact import FLAT, ROME
from baft.benchmarks.drafts import Fields, Format
from baft.benchmarks.knowedit import WIKI, ZSRE
from baft.benchmarks.mend import MEND
from baft.benchmarks.plain import PLAIN, QUESTIONS
from baft.benchmarks.sanitation import SANITATION
from baft.benchmarks.wikibio import WIKIBIO
from baft.errors import UserError

# The more particular form first: an object may have the keys of several.
FORMATS: tuple[Format, ...] = (ROME, MEND, CONVSENT, WIKIBIO, SANITATION, FLAT, ZSRE, WIKI, PLAIN, QUESTIONS)


def recognise(rows: Sequence[Fields]) -> Format | None:
    """The format that most of ``rows`` have, each counted for the first format it matches; None if none matches."""
    votes = [next((known for known in FORMATS if known.matches(row)), None) for row in rows]
    counts = {known.name: sum(vote is known for vote in votes) for known in FORMATS}
    best = max(FORMATS, key=lambda known: counts[known.name])
    return best if counts[best.name] else None


def format_named(name: str) -> Format:
    """The format called ``name``.

    Raises:
        UserError: there is none.
    """
    for known in FORMATS:
        if known.name == name:
            return known
    raise UserError(f"There is no format {name!r}; give auto or one of {', '.join(known.name for known in FORMATS)}.")
