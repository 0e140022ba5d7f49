"""The cells of one model and protocol as those of one benchmark, which has the records of all."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from baft.report.cells import Cells, rows_of
from baft.results.units import joined

POOLED = "all benchmarks"
"""What the benchmark of pooled cells is called."""

NOTHING_POOLED = "No method has been run on all of several benchmarks."
"""What stands where there is nothing to be pooled."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The pooled ``cells`` of one model and protocol, how many ``records`` each benchmark has in them, and the methods that
    are ``left_out``, for they lack a benchmark or a seed that others have."""

    cells: Cells
    records: dict[str, int]
    left_out: list[str]


def pool(cells: Cells) -> Pool | None:
    """Pools the ``cells`` of one model and protocol; None if they are of one benchmark, or no method was run
    on all of them.

    Only the methods that were run on all benchmarks with all seeds are among them, so that all means are of the same
    records. A record weighs the same whichever benchmark it is of. Records of different benchmarks stay apart, and so do
    their units, unless the benchmarks are of one file: then a record that both have is one unit, and so are the units that
    it is of in either.
    """
    benchmarks = sorted(set(cells.facts["benchmark"]))
    if len(benchmarks) < 2:
        return None
    wanted = len(cells.facts[["benchmark", "seed"]].drop_duplicates())
    counts = cells.facts.groupby("method").size()
    whole = [str(method) for method in counts.index[counts.eq(wanted)]]
    if not whole:
        return None
    values, facts, unmeasured = (
        frame[frame["method"].isin(whole)] for frame in (cells.values, cells.facts, cells.unmeasured)
    )
    files = {
        row.benchmark: row.conditions.sha256 or row.benchmark for row in rows_of(facts.drop_duplicates("benchmark"))
    }
    origin = values["benchmark"].map(files)
    named = {
        "record_id": values["benchmark"] + "/" + values["record_id"],
        "stream_id": origin + "/" + values["stream_id"],
        "unit_id": _units(values, origin),
    }
    records = facts.groupby("benchmark")["edited"].max()
    by = ["model", "protocol", "method", "benchmark", "seed"]
    together = facts.assign(benchmark=POOLED).groupby(by, as_index=False)
    where = [*by, "moment", "edits", "metric", "group"]
    lost = unmeasured.assign(benchmark=POOLED).groupby(where, as_index=False).agg(unmeasured=("unmeasured", "sum"))
    return Pool(
        Cells(
            values.assign(**named).assign(benchmark=POOLED),
            together.agg(
                path=("path", "first"),
                conditions=("conditions", "first"),
                edited=("edited", "sum"),
                failed=("failed", "sum"),
                rejected=("rejected", "sum"),
            ),
            lost,
            cells.origins,
        ),
        {benchmark: int(records[benchmark]) for benchmark in benchmarks},
        sorted(set(cells.facts["method"]) - set(whole)),
    )


def _units(values: pd.DataFrame, origin: pd.Series) -> pd.Series:
    """The unit of each row of ``values``, whose benchmarks are of the files ``origin``: those that share a record are one.

    It is named after the first of them.
    """
    names = pd.DataFrame({name: origin + "/" + values[name] for name in ("record_id", "unit_id")})
    pieces = [
        own["unit_id"].groupby(joined(own).to_numpy()).transform("min") for _, own in names.groupby(values["metric"])
    ]
    units: pd.Series = pd.concat(pieces).reindex(values.index)
    return units


def pools(cells: Cells) -> list[tuple[str, str, Pool]]:
    """Model, protocol and their pool, of those that have several benchmarks."""
    made = ((model, protocol, pool(cells.one(model, protocol))) for model, protocol in cells.settings())
    return [(model, protocol, one) for model, protocol, one in made if one is not None]


def pooled(cells: Cells) -> Cells | None:
    """The cells of all :func:`pools`; None where there is none."""
    found = [one.cells for *_, one in pools(cells)]
    if not found:
        return None
    values, facts, unmeasured = (
        pd.concat(frames, ignore_index=True)
        for frames in zip(*((own.values, own.facts, own.unmeasured) for own in found), strict=True)
    )
    return Cells(values, facts, unmeasured, cells.origins)
