"""Records that a later edit of their own stream overwrites on purpose: the same prompt, with another target."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from baft.results import store

_COLUMNS = ["record_id", "stream_id", "step", "kind", "prompt", "answers"]


def overwritten(probes: Path) -> set[str]:
    """Ids of the records in the shard ``probes`` whose prompt is edited again in their stream, to another target.

    What became of them is no forgetting: the stream was asked to say something else. Of two in the same step neither can
    be expected to hold.
    """
    table = store.read_table([probes], _COLUMNS)
    edits = table.filter(pc.and_(pc.equal(table["kind"], "reliability"), pc.greater_equal(table["step"], 0)))
    made: dict[tuple[str, str], dict[str, tuple[int, str]]] = defaultdict(dict)
    for row in edits.to_pylist():
        made[row["stream_id"], row["prompt"]][row["record_id"]] = (row["step"], "".join(row["answers"][:1]))
    return {
        record
        for rivals in made.values()
        for record, (step, target) in rivals.items()
        if any(later >= step and other != target for later, other in rivals.values())
    }


def marked(values: pa.Table, records: set[str]) -> pa.Table:
    """``values`` with the column ``overwritten``: whether the row's record is one of ``records``."""
    return values.append_column("overwritten", pc.is_in(values["record_id"], pa.array(sorted(records), pa.string())))
