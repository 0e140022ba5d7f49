"""What a stream of edits does to earlier ones: scores against the number of edits, and what is forgotten."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from baft.config import StatisticsConfig
from baft.report.cells import Cells, rows_of
from baft.report.estimates import CELL
from baft.results import statistics
from baft.results.schema import ALL_GROUPS

MEASURED = ("edit_success", "generality", "locality", "portability")

Lost = tuple[str, int, int]
"""A moment, a number of edits, and how many probes could not be measured there."""

_RECORD = ["record_id", "stream_id", "seed"]
_NOTHING: dict[str, Any] = {"mean": math.nan, "low": math.nan, "high": math.nan, "records": 0, "streams": 0}


def sequence_frame(cells: Cells, settings: StatisticsConfig) -> pd.DataFrame:
    """Means of :data:`MEASURED` after so many ``edits``, one row a model, protocol, method, benchmark, metric and scoring.

    ``scored`` is ``final``: all records edited so far, scored after that many edits; or ``immediate``: the same records and
    seeds, each scored right after its own step. With interval over streams; empty with fewer than five of them, which say
    little about others. ``streams`` that came so far, ``records`` used, and ``unmeasured`` probes that are left out; where
    that is all of them the mean is NaN.
    """
    later = cells.values[cells.values["moment"].isin(["interim", "final"])]
    values, lost = _by_seed(cells), _lost(cells)
    rows = []
    for cell, scored in later.groupby(CELL, sort=True):
        full = _full_streams(scored)
        points = sorted(scored.loc[scored["stream_id"].isin(full), "edits"].unique().tolist())
        own = values[values[CELL].eq(list(cell)).all(axis=1) & values["stream_id"].isin(full)]
        for metric, group in own.groupby("metric", sort=True):
            names = dict(zip([*CELL, "metric"], (*cell, metric), strict=True))
            rows += [
                {**names, "edits": edits, **point}
                for edits in points
                for point in _points(group, edits, lost.get((*cell, metric), ()), settings.level)
            ]
    columns = [*CELL, "metric", "edits", "scored", "mean", "low", "high", "records", "streams", "unmeasured"]
    return pd.DataFrame(rows, columns=columns)


def _full_streams(scored: pd.DataFrame) -> pd.Index[str]:
    """The longest streams of a cell, as far as any metric of theirs was ``scored``.

    A last stream that is shorter ends at a point that the others have not.
    """
    lengths = scored.groupby("stream_id")["edits"].max()
    found: pd.Index[str] = lengths.index[lengths.eq(lengths.max())]
    return found


def _points(group: pd.DataFrame, edits: int, lost: Sequence[Lost], level: float) -> Iterator[dict[str, Any]]:
    """The scores of one metric after so many edits, and those of the same records and seeds right after their own steps."""
    then = group[group["moment"].isin(["interim", "final"]) & group["edits"].eq(edits)]
    now = group[group["moment"].eq("immediate")].merge(then[_RECORD], on=_RECORD)
    for scored, shown, moments in (("final", then, ("interim", "final")), ("immediate", now, ("immediate",))):
        unmeasured = sum(n for moment, at, n in lost if moment in moments and _counts(scored, at, edits))
        if len(shown) or (scored == "final" and unmeasured):
            found = _mean(_over_seeds(shown, "value"), (0.0, 1.0), level) if len(shown) else _NOTHING
            yield {"scored": scored, **found, "unmeasured": unmeasured}


def forgetting_frame(cells: Cells, settings: StatisticsConfig) -> pd.DataFrame:
    """Score right after the own step, at the stream's end, and their difference on the same records and seeds.

    One row a model, protocol, method, benchmark and metric: ``immediate``, ``final``, and ``forgotten`` with interval
    over streams (empty with fewer than five), ``records``, and ``unmeasured`` probes at the end, which are left out. Edits
    that failed count as in the other tables; records that a later edit overwrote on purpose are left out.
    """
    values = _by_seed(replace(cells, values=cells.values[~cells.values["overwritten"].astype(bool)]))
    keys = [*CELL, "metric", *_RECORD]
    own = values[values["moment"].eq("immediate")][[*keys, "value"]]
    end = values[values["moment"].eq("final")][[*keys, "value"]]
    pairs = own.merge(end, on=keys, suffixes=("_immediate", "_final"))
    pairs["value"] = pairs["value_immediate"] - pairs["value_final"]
    missing = _lost(cells)
    rows = []
    for names, group in pairs.groupby([*CELL, "metric"], sort=True):
        group = _over_seeds(group, "value", "value_immediate", "value_final")
        found = _mean(group, (-1.0, 1.0), settings.level)
        rows.append(
            {
                **dict(zip([*CELL, "metric"], names, strict=True)),
                "immediate": group["value_immediate"].mean(),
                "final": group["value_final"].mean(),
                "forgotten": found.pop("mean"),
                **found,
            }
        )
        rows[-1]["unmeasured"] = sum(n for moment, _, n in missing.get(names, ()) if moment == "final")
    columns = [*CELL, "metric", "immediate", "final", "forgotten", "low", "high", "records", "streams", "unmeasured"]
    return pd.DataFrame(rows, columns=columns)


def _lost(cells: Cells) -> dict[Any, list[Lost]]:
    """By model, protocol, method, benchmark and metric: moments, numbers of edits, and what was not measured there."""
    found: dict[Any, list[Lost]] = {}
    for row in rows_of(cells.unmeasured[cells.unmeasured["group"].eq(ALL_GROUPS)]):
        key = (row.model, row.protocol, row.method, row.benchmark, row.metric)
        found.setdefault(key, []).append((row.moment, int(row.edits), int(row.unmeasured)))
    return found


def _counts(scored: str, at: int, edits: int) -> bool:
    """Whether what was scored after ``at`` edits belongs to the point at ``edits``."""
    return at <= edits if scored == "immediate" else at == edits


def _by_seed(cells: Cells) -> pd.DataFrame:
    """Values of the measured metrics over all groups, one row a record, seed, moment and number of edits."""
    wanted = cells.values["group"].eq(ALL_GROUPS) & cells.values["metric"].isin(MEASURED)
    return cells.values.loc[wanted & cells.values["moment"].ne("before")]


def _over_seeds(values: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Means over seeds of these columns of one cell and metric, one row a record."""
    means: pd.DataFrame = values.groupby(["record_id", "stream_id"], sort=True)[list(columns)].mean().reset_index()
    return means


def _mean(shown: pd.DataFrame, ends: tuple[float, float], level: float) -> dict[str, Any]:
    found = statistics.mean_interval(shown["value"].to_numpy(), shown["stream_id"].to_numpy(str), ends, level=level)
    return {"mean": found.mean, "low": found.low, "high": found.high, "records": found.records, "streams": found.units}
