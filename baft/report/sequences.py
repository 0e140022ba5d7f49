"""What a stream of edits does to earlier ones: scores against the number of edits, and what is forgotten."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from baft.config import StatisticsConfig
from baft.report.cells import KEYS, Cells, rows_of
from baft.report.estimates import CELL
from baft.results import statistics
from baft.results.schema import ALL_GROUPS

MEASURED = ("edit_success", "generality", "locality", "portability")


def sequence_frame(cells: Cells, settings: StatisticsConfig) -> pd.DataFrame:
    """Means of :data:`MEASURED` after so many ``edits``, one row a model, protocol, method, benchmark, metric and scoring.

    ``scored`` is ``final``: all records edited so far, scored after that many edits; or ``immediate``: the same records,
    each scored right after its own step. With interval over streams; empty with fewer than five of them, which say little
    about others. ``streams`` that came so far, ``records`` used, and ``unmeasured`` probes that are left out.
    """
    values, lost = _averaged(cells), _lost(cells)
    rows = []
    for keys, group in values.groupby([*CELL, "metric"], sort=True):
        later = group[group["moment"].isin(["interim", "final"])]
        # A last stream that is shorter ends at a point that the others have not.
        most = later.groupby("stream_id")["edits"].max()
        full = later[later["stream_id"].map(most).eq(most.max())]
        for edits, final in full.groupby("edits"):
            now = group[group["moment"].eq("immediate") & group["edits"].le(edits)]
            now = now[now["stream_id"].isin(final["stream_id"])]
            for scored, shown in (("final", final), ("immediate", now)):
                if len(shown):
                    names = dict(zip([*CELL, "metric"], keys, strict=True))
                    rows.append({**names, "edits": edits, "scored": scored, **_mean(shown, (0.0, 1.0), settings.level)})
                    moments = ("immediate",) if scored == "immediate" else ("interim", "final")
                    last = int(str(edits))
                    there = [(at, n) for moment, at, n in lost.get(keys, ()) if moment in moments]
                    rows[-1]["unmeasured"] = sum(n for at, n in there if _counts(scored, at, last))
    columns = [*CELL, "metric", "edits", "scored", "mean", "low", "high", "records", "streams", "unmeasured"]
    return pd.DataFrame(rows, columns=columns)


def forgetting_frame(cells: Cells, settings: StatisticsConfig) -> pd.DataFrame:
    """Score right after the own step, at the stream's end, and their difference on the same records.

    One row a model, protocol, method, benchmark and metric: ``immediate``, ``final``, and ``forgotten`` with interval
    over streams (empty with fewer than five), ``records``, and ``unmeasured`` probes at the end, which are left out. Edits
    that failed count as in the other tables; records that a later edit overwrote on purpose are left out.
    """
    values = _averaged(replace(cells, values=cells.values[~cells.values["overwritten"].astype(bool)]))
    keys = [*CELL, "metric", "record_id", "stream_id"]
    own = values[values["moment"].eq("immediate")][[*keys, "value"]]
    end = values[values["moment"].eq("final")][[*keys, "value"]]
    pairs = own.merge(end, on=keys, suffixes=("_immediate", "_final"))
    missing = _lost(cells)
    rows = []
    for names, group in pairs.groupby([*CELL, "metric"], sort=True):
        lost = group.assign(value=group["value_immediate"] - group["value_final"])
        found = _mean(lost, (-1.0, 1.0), settings.level)
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


def _lost(cells: Cells) -> dict[Any, list[tuple[str, int, int]]]:
    """By model, protocol, method, benchmark and metric: moments, numbers of edits, and what was not measured there."""
    found: dict[Any, list[tuple[str, int, int]]] = {}
    for row in rows_of(cells.unmeasured[cells.unmeasured["group"].eq(ALL_GROUPS)]):
        key = (row.model, row.protocol, row.method, row.benchmark, row.metric)
        found.setdefault(key, []).append((row.moment, int(row.edits), int(row.unmeasured)))
    return found


def _counts(scored: str, at: int, edits: int) -> bool:
    """Whether what was scored after ``at`` edits belongs to the point at ``edits``."""
    return at <= edits if scored == "immediate" else at == edits


def _averaged(cells: Cells) -> pd.DataFrame:
    """Values of the measured metrics over all groups, averaged over seeds."""
    wanted = cells.values["group"].eq(ALL_GROUPS) & cells.values["metric"].isin(MEASURED)
    values = cells.values.loc[wanted & cells.values["moment"].ne("before")]
    keys = [*(key for key in KEYS if key != "seed"), "metric", "record_id", "stream_id", "moment", "edits"]
    return values.groupby(keys, as_index=False, sort=True).agg(value=("value", "mean"))


def _mean(shown: pd.DataFrame, ends: tuple[float, float], level: float) -> dict[str, Any]:
    found = statistics.mean_interval(shown["value"].to_numpy(), shown["stream_id"].to_numpy(str), ends, level=level)
    return {"mean": found.mean, "low": found.low, "high": found.high, "records": found.records, "streams": found.units}
