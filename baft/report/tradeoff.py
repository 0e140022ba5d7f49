"""Trade-offs between edit success and locality: the points of each method, and the area that they dominate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from baft.config import StatisticsConfig
from baft.config.sweeps import line_of, setting_of, value_at
from baft.report import estimates
from baft.report.cells import Cells, at_moment, rows_of, shown_moment
from baft.report.labels import FLOORS
from baft.results.areas import pareto_front
from baft.results.schema import ALL_GROUPS
from baft.results.statistics import hypervolume_interval

# Locality and edit success, as teacher forcing and as greedy decoding measure them.
VARIANTS = {
    "forced": ("locality", "edit_success"),
    "decoded": ("locality_decoded", "edit_success_decoded"),
}
PANEL = ["model", "protocol", "variant", "benchmark"]


def tradeoff_frame(cells: Cells, statistics: StatisticsConfig) -> pd.DataFrame:
    """One row a model, protocol, variant, benchmark and method, swept points being methods of their own.

    Locality and success with intervals, whether the point is ``on_front``, and where it is on the curve of its
    ``line``: the swept ``setting``, what it was ``swept_to``, and its ``place`` in the order of the values, from 0.
    """
    wanted = [metric for pair in VARIANTS.values() for metric in pair]
    means = estimates.means(cells, level=statistics.level, metrics=wanted)
    means = means[means["group"].eq(ALL_GROUPS)]
    pieces = []
    for variant, names in VARIANTS.items():
        sides = [
            means[means["metric"].eq(metric)].set_index(estimates.CELL)[
                ["mean", "low", "high", "records", "units", "unmeasured"]
            ]
            for metric in names
        ]
        both = sides[0].add_prefix("locality_").join(sides[1].add_prefix("success_"), how="inner").reset_index()
        pieces.append(both.assign(variant=variant))
    frame = pd.concat(pieces, ignore_index=True)
    frame["on_front"] = False
    for _, group in frame[~frame["method"].isin(FLOORS)].groupby(PANEL):
        frame.loc[group.index, "on_front"] = pareto_front(group[["locality_mean", "success_mean"]].to_numpy())
    return frame.merge(_curves(cells), on=["model", "method"], how="left")


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
    ``records`` used, and the ``units`` that they are. The unedited model is left out.
    """
    curves = _curves(cells).sort_values("place", kind="stable")
    rows = []
    for model, protocol in cells.settings():
        chosen = cells.one(model, protocol)
        values = at_moment(chosen, shown_moment(chosen))
        values = values[values["group"].eq(ALL_GROUPS)].merge(curves[curves["model"].eq(model)], on=["model", "method"])
        for (benchmark, line), group in values[~values["line"].isin(FLOORS)].groupby(["benchmark", "line"], sort=True):
            for variant, metrics in VARIANTS.items():
                found = _area(group, metrics, statistics)
                if found is not None:
                    keys = {"model": model, "protocol": protocol, "variant": variant, "benchmark": benchmark}
                    rows.append({**keys, "line": line, **found})
    return pd.DataFrame(rows, columns=[*PANEL, "line", *_AREA])


_AREA = ["area", "low", "high", "points", "setting", "values", "records", "units"]


def _area(group: pd.DataFrame, metrics: tuple[str, str], statistics: StatisticsConfig) -> dict[str, Any] | None:
    group = group[group["metric"].isin(metrics)]
    wide = [
        group[group["metric"].eq(metric)].pivot(index="record_id", columns="method", values="value")
        for metric in metrics
    ]
    points = [label for label in wide[0].columns if label in wide[1].columns]
    if not points:
        return None
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
