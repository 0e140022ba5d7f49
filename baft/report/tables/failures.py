"""The table of edits that failed and of probes that could not be measured, with the reasons."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from baft.config.products import TableProduct
from baft.report.cells import KEYS, rows_of, settings_of
from baft.report.estimates import CELL
from baft.report.inputs import Inputs
from baft.report.labels import method_name, ordered_benchmarks, ordered_methods
from baft.report.rendering import Table
from baft.report.writing import write_table
from baft.results import store

PRODUCT = TableProduct(cells="records", label="failures and what was not measured", place=50)

_COLUMNS = [*CELL, "what", "reason", "count", "records", "record_id", "example"]
_HEADS = ["Method", "What", "Count", "First record", "Why"]
# Characters of a reason that the table shows; its CSV has all of it.
_SHOWN = 160
_NO_PERPLEXITY = "the perplexity of general text is not a number"


def write(inputs: Inputs, stem: Path) -> list[Path]:
    """Write the table at ``stem`` with the suffixes of tables; return the paths."""
    frame = failures_frame(inputs.edits, inputs.probes)
    return write_table(stem, frame, failure_tables(frame, inputs.missing))


def failures_frame(edits: Sequence[Path], probes: Sequence[Path]) -> pd.DataFrame:
    """One row a model, protocol, method, benchmark, thing that failed and reason; over all seeds, the most frequent first.

    ``what`` is ``edits``, a kind of probes (``locality probes``) or ``drift``. ``reason`` has no names and numbers, so that
    reasons that differ only in those are one; ``example`` is the whole text of the first, of the record ``record_id``.
    ``count`` is of edits, of probes (once each, whenever they were asked; those of failed edits are not counted again) or of
    streams, and ``records`` of the records concerned.
    """
    failed = _rows(edits, ["record_id", "error"], _has_error)
    ruined = _rows(edits, ["record_id", "stream_id", "perplexity_ratio"], _has_no_perplexity)
    own = ["record_id", "kind", "group", "index"]
    lost = _rows(probes, [*own, "error"], _has_error).drop_duplicates([*KEYS, *own])
    lost = lost.merge(failed, how="left", on=[*KEYS, "record_id", "error"], indicator="whose")
    lost = lost[lost["whose"].eq("left_only")]
    found = pd.concat(
        [
            failed.assign(what="edits"),
            lost.assign(what=lost["kind"] + " probes"),
            ruined.drop_duplicates([*KEYS, "stream_id"]).assign(what="drift", error=_NO_PERPLEXITY),
        ]
    )
    found["reason"] = found["error"].map(_without_particulars)
    counts = found.groupby([*CELL, "what", "reason"], as_index=False).agg(
        count=("record_id", "size"),
        records=("record_id", "nunique"),
        record_id=("record_id", "first"),
        example=("error", "first"),
    )
    ordered = counts.sort_values([*CELL, "count"], ascending=[True] * len(CELL) + [False], kind="stable")
    return ordered.reset_index(drop=True)[_COLUMNS]


def failure_tables(frame: pd.DataFrame, missing: Sequence[Path] = ()) -> list[Table]:
    """A table a model and protocol in which anything failed: a block a benchmark, a row a method, thing and reason.

    ``missing`` are result files that are not here, of which a note says that nothing is known.
    """
    unknown = [_unknown(missing)] if missing else []
    if frame.empty:
        note = "No edit failed, and every probe that was asked was measured."
        return [Table("Failures", _HEADS, [], unknown or [note])]
    notes = [
        *unknown,
        "Over all seeds. A failed edit counts as no success and is left out of locality; its probes are not counted again. "
        "What could not be measured is left out of the means. A probe counts once, whenever it was asked; drift counts "
        "streams. Reasons that differ only in names and numbers are one row, with the text of the first record.",
    ]
    return [
        Table(f"{model}, {protocol} editing: failures", _HEADS, _blocks(shown), notes)
        for model, protocol, shown in settings_of(frame)
    ]


def _unknown(missing: Sequence[Path]) -> str:
    cells = {tuple(read[name] for name in CELL) for read in map(store.read_partition_values, missing)}
    others = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
    return (
        f"What failed is not known of {', '.join(min(cells))}{others}: files with edits or answers are not here, such as "
        f"{min(missing)}."
    )


def _blocks(shown: pd.DataFrame) -> list[tuple[str, list[list[str]]]]:
    return [
        (
            benchmark,
            [
                [method_name(method), row.what, str(row.number), row.record_id, _cut(row.example)]
                for method in ordered_methods(own["method"])
                for row in rows_of(own[own["method"].eq(method)].rename(columns={"count": "number"}))
            ],
        )
        for benchmark in ordered_benchmarks(shown["benchmark"])
        for own in [shown[shown["benchmark"].eq(benchmark)]]
    ]


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _without_particulars(reason: str) -> str:
    """A reason with an ellipsis for what is quoted and for numbers."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|\d+(?:[.,]\d+)*", "…", reason)


def _rows(paths: Sequence[Path], columns: list[str], wanted: Callable[[pa.Table], pa.ChunkedArray]) -> pd.DataFrame:
    """The ``wanted`` rows of result files with their keys. Most files have none, which their last column tells."""
    frames = []
    for path in sorted(paths):
        table = store.read_table([path], columns[-1:])
        if pc.any(wanted(table)).as_py():
            table = store.read_table([path], columns)
            keys = store.read_partition_values(path)
            frames.append(table.filter(wanted(table)).to_pandas().assign(**{name: keys[name] for name in KEYS}))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*KEYS, *columns], dtype=object)


def _has_error(table: pa.Table) -> pa.ChunkedArray:
    return pc.is_valid(table["error"])


def _has_no_perplexity(table: pa.Table) -> pa.ChunkedArray:
    # Null is what was not asked for.
    return pc.fill_null(pc.invert(pc.is_finite(table["perplexity_ratio"])), False)
