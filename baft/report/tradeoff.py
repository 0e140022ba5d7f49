"""Trade-offs between editing and locality: the points of each method, and the area or volume that they dominate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from baft.config import StatisticsConfig
from baft.config.sweeps import line_of, setting_of, value_at
from baft.report import estimates
from baft.report.cells import Cells, at_moment, rows_of, shown_moment
from baft.report.labels import FLOORS
from baft.results.areas import pareto_front
from baft.results.schema import ALL_GROUPS
from baft.results.statistics import harmonic_interval, hypervolume_interval, volume_intervals

# What is set against locality: the metrics whose harmonic mean it is.
SCORES = {"success": ("edit_success",), "editing": ("edit_success", "generality", "portability")}
# The ending of a metric's name, as it is measured by teacher forcing and by greedy decoding.
VARIANTS = {"forced": "", "decoded": "_decoded"}
PANEL = ["model", "protocol", "variant", "benchmark"]
_MEASURES = (*SCORES["editing"], "locality")


def tradeoff_frame(cells: Cells, statistics: StatisticsConfig, score: str = "success") -> pd.DataFrame:
    """One row a model, protocol, variant, benchmark and method, swept points being methods of their own.

    Locality and the ``score``, one of :data:`SCORES`, with intervals, whether the point is ``on_front``, and where it is on
    the curve of its ``line``: the swept ``setting``, what it was ``swept_to``, and its ``place`` in the order of the values,
    from 0. ``parts`` are the metrics that the score is made of: those that the benchmark has. A method that lacks one of the
    two sides, as where all its edits failed, or on a benchmark without locality probes, has NaN for it.
    """
    wanted = [f"{part}{ending}" for part in _MEASURES for ending in VARIANTS.values()]
    means = estimates.means(cells, level=statistics.level, metrics=wanted, groups=[ALL_GROUPS])
    values = _shown_values(cells)
    pieces = []
    for variant, ending in VARIANTS.items():
        locality = means[means["metric"].eq(f"locality{ending}")].set_index(estimates.CELL)[_SIDE]
        upward = _upward(values, means, [f"{part}{ending}" for part in SCORES[score]], statistics)
        both = locality.add_prefix("locality_").join(upward.add_prefix(f"{score}_"), how="outer").reset_index()
        counts = [f"{side}_{count}" for side in ("locality", score) for count in _COUNTS]
        both[counts] = both[counts].fillna(0).astype(int)
        pieces.append(both.rename(columns={f"{score}_parts": "parts"}).assign(variant=variant))
    frame = pd.concat(pieces, ignore_index=True)
    frame["on_front"] = False
    for _, group in frame[~frame["method"].isin(FLOORS)].groupby(PANEL):
        frame.loc[group.index, "on_front"] = pareto_front(group[["locality_mean", f"{score}_mean"]].to_numpy())
    return frame.merge(_curves(cells), on=["model", "method"], how="left")


_COUNTS = ["records", "units", "unmeasured"]
_SIDE = ["mean", "low", "high", *_COUNTS]


def _shown_values(cells: Cells) -> pd.DataFrame:
    """The records' values over all groups of probes, each model and protocol at the moment that its tables show."""
    pieces = []
    for setting in cells.settings():
        chosen = cells.one(*setting)
        pieces.append(at_moment(chosen, shown_moment(chosen)))
    values = pd.concat(pieces, ignore_index=True)
    return values[values["group"].eq(ALL_GROUPS)]


def _upward(
    values: pd.DataFrame, means: pd.DataFrame, metrics: Sequence[str], statistics: StatisticsConfig
) -> pd.DataFrame:
    """The harmonic mean of ``metrics`` by cell: of those that the benchmark has, all of which must have been measured.

    A metric that no method has on a benchmark is left out of the mean for all of them. Where a method lacks one that
    others have, or none of it could be measured, its mean is NaN. It is 0 where a mean that was measured is.
    """
    rows = []
    values = values[values["metric"].isin(metrics)]
    by_cell = {tuple(map(str, keys)): own for keys, own in values.groupby(estimates.CELL)}
    for keys, panel in means[means["metric"].isin(metrics)].groupby(["model", "protocol", "benchmark"]):
        parts = [metric for metric in metrics if panel["metric"].eq(metric).any()]
        for method, own in panel.groupby("method"):
            found = own.set_index("metric").reindex(parts)
            where = dict(zip(["model", "protocol", "benchmark"], map(str, keys), strict=True))
            known = {**where, "method": str(method), "parts": ", ".join(parts)}
            lost = {"unmeasured": int(found["unmeasured"].fillna(0).sum())}
            if len(parts) == 1:
                rows.append({**known, **found[_SIDE].iloc[0]})
            elif found["mean"].isna().any():
                none = {"mean": math.nan, "low": math.nan, "high": math.nan, "records": 0, "units": 0}
                rows.append({**known, **none, **lost})
            else:
                own_values = by_cell[tuple(known[name] for name in estimates.CELL)]
                rows.append({**known, **_harmonic(own_values, parts, statistics), **lost})
    return pd.DataFrame(rows, columns=[*estimates.CELL, *_SIDE, "parts"]).set_index(estimates.CELL)


def _harmonic(values: pd.DataFrame, parts: Sequence[str], statistics: StatisticsConfig) -> dict[str, Any]:
    """Of the records' ``values`` of one cell."""
    table = values.pivot(index="record_id", columns="metric", values="value").reindex(columns=list(parts))
    units = estimates.units_of(values, "metric")
    found = harmonic_interval(table.to_numpy().T, units, level=statistics.level)
    return {"mean": found.mean, "low": found.low, "high": found.high, "records": found.records, "units": found.units}


def _curves(cells: Cells) -> pd.DataFrame:
    """Where each method of each model is on the curve of its line."""
    rows = []
    for model, facts in cells.facts.groupby("model"):
        settings = {row.method: row.conditions.method for row in rows_of(facts)}
        for line in sorted({line_of(label) for label in settings}):
            members = [label for label in settings if line_of(label) == line]
            setting = next((found for label in members if (found := setting_of(label))), None)
            values = {label: value_at(settings[label], setting) if setting else None for label in members}
            for place, label in enumerate(sorted(members, key=lambda label: _order(values, label))):
                where = {"line": line, "setting": setting, "swept_to": values[label], "place": place}
                rows.append({"model": model, "method": label, **where})
    return pd.DataFrame(rows).astype({"swept_to": object})


def _order(values: Mapping[str, Any], label: str) -> tuple[bool, float, str]:
    value = values[label]
    numeric = isinstance(value, (int, float))
    return not numeric, float(value) if numeric else 0.0, str(value)


def areas_frame(cells: Cells, statistics: StatisticsConfig) -> pd.DataFrame:
    """The area above (0, 0) that each line's points dominate, one row a model, protocol, variant, benchmark and line.

    ``area`` with its interval over units (weighed together, for all points of a line at once), in [0, 1], for
    points that are means as in :func:`tradeoff_frame`; ``points`` and the ``setting`` and ``values`` they are at;
    ``records`` used, and the ``units`` that they are. The unedited model is left out. A line that was never measured in one
    of the two has no points and NaN.
    """
    rows = []
    for panel, values in _panels(cells):
        for line, group in values.groupby("line", sort=True):
            for variant, ending in VARIANTS.items():
                found = _area(group, (f"locality{ending}", f"edit_success{ending}"), statistics)
                rows.append({**panel, "variant": variant, "line": line, **found})
    return pd.DataFrame(rows, columns=[*PANEL, "line", *_AREA])


def _panels(cells: Cells) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """Of each model, protocol and benchmark the records' values, each with its place on a curve; edited models alone."""
    curves = _curves(cells).sort_values("place", kind="stable")
    values = _shown_values(cells).merge(curves, on=["model", "method"])
    keys = ["model", "protocol", "benchmark"]
    for names, group in values[~values["line"].isin(FLOORS)].groupby(keys, sort=True):
        yield dict(zip(keys, map(str, names), strict=True)), group


_NO_AREA: dict[str, Any] = {
    **dict.fromkeys(("area", "low", "high"), math.nan),
    **{"points": 0, "setting": "", "values": "", "records": 0, "units": 0},
}
_AREA = list(_NO_AREA)


def _area(group: pd.DataFrame, metrics: tuple[str, str], statistics: StatisticsConfig) -> dict[str, Any]:
    group = group[group["metric"].isin(metrics)]
    wide = [
        group[group["metric"].eq(metric)].pivot(index="record_id", columns="method", values="value")
        for metric in metrics
    ]
    points = [label for label in wide[0].columns if label in wide[1].columns]
    if not points:
        return _NO_AREA
    group = group[group["method"].isin(points)]
    records = sorted(group["record_id"].unique())
    x, y = (side.reindex(index=records, columns=points).to_numpy(float).T for side in wide)
    units = estimates.units_of(group, "method", "metric")
    found = hypervolume_interval(x, y, units, level=statistics.level)
    on_curve = group.drop_duplicates("method").set_index("method").loc[points].sort_values("place")
    swept = on_curve["setting"].iloc[0] if len(points) > 1 else None
    values = ", ".join(_shown(value) for value in on_curve["swept_to"]) if swept else ""
    estimate = {
        "area": found.mean,
        "low": found.low,
        "high": found.high,
        "records": found.records,
        "units": found.units,
    }
    return {**estimate, "points": len(points), "setting": swept or "", "values": values}


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def volumes_frame(cells: Cells, statistics: StatisticsConfig) -> pd.DataFrame:
    """The volume above 0 that each line's points dominate, in all measures that the benchmark has: success, generality,
    portability and locality; one row a model, protocol, variant, benchmark, line and other line.

    ``volume`` with its interval over units, in [0, 1], where ``other`` is empty; elsewhere how much more it is than the
    other line's, with the interval of the paired difference. ``points`` of the line, ``measures``, ``records`` and
    ``units``. A point that lacks a measure is left out, and a line without a point has NaN and is compared with none.
    """
    rows: list[dict[str, Any]] = []
    for panel, group in _panels(cells):
        for variant, ending in VARIANTS.items():
            rows += [{**panel, "variant": variant, **row} for row in _volumes(group, ending, statistics)]
    return pd.DataFrame(rows, columns=[*PANEL, *_VOLUME])


_VOLUME = ["line", "other", "volume", "low", "high", "points", "measures", "records", "units"]


def _volumes(group: pd.DataFrame, ending: str, statistics: StatisticsConfig) -> list[dict[str, Any]]:
    measures = [name for name in _MEASURES if group["metric"].eq(f"{name}{ending}").any()]
    group = group[group["metric"].isin([f"{name}{ending}" for name in measures])]
    if group.empty:
        return []
    wide = group.pivot(index="record_id", columns=["method", "metric"], values="value")
    lines = {}
    for line, own in group.groupby("line", sort=True):
        whole = [m for m, part in own.groupby("method") if part["metric"].nunique() == len(measures)]
        lines[str(line)] = [[wide[m, f"{name}{ending}"].to_numpy(float) for name in measures] for m in whole]
    there = {line: points for line, points in lines.items() if points}
    known = {"measures": ", ".join(measures)}
    rows: list[dict[str, Any]] = [
        {**known, "line": line, "other": "", "volume": math.nan, "points": 0} for line in lines.keys() - there.keys()
    ]
    if not there:
        return rows
    found = volume_intervals(there, estimates.units_of(group, "method", "metric"), level=statistics.level)
    every = {**{(line, ""): own for line, own in found.own.items()}, **found.apart}
    for (line, other), one in every.items():
        estimate = {"volume": one.mean, "low": one.low, "high": one.high, "records": one.records, "units": one.units}
        rows.append({**known, "line": line, "other": other, **estimate, "points": len(there[line])})
    return sorted(rows, key=lambda row: (row["line"], row["other"]))
