"""What can be told from the trials of a search, one row a trial (schema :data:`~baft.results.schema.TRIALS`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def best_of(trials: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The trial with the highest objective, of equal ones the first; None if all failed."""
    done = [one for one in trials if one["state"] == "done"]
    return max(done, key=lambda one: (one["objective"], -one["trial"]), default=None)
