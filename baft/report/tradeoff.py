"""Trade-offs between edit success and locality: the points of each method, and the area that they dominate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from baft.config import StatisticsConfig
from baft.config.sweeps import line_of, setting_of
from baft.report import estimates
from baft.report.cells import Cells, at_moment, read_cells, rows_of, settings_of, shown_moment
from baft.report.labels import FLOORS, method_name, ordered_benchmarks, ordered_methods
from baft.report.notes import record_notes, unit_notes
from baft.report.rendering import HOLE, Table, percent
from baft.report.writing import write_table
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
            values = {label: settings[label].get(setting) if setting else None for label in members}
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


def tabulate_area(records: Sequence[Path], out: Path, statistics: StatisticsConfig) -> list[Path]:
    """Write the table of dominated areas to ``out`` as CSV, Markdown and LaTeX; return the paths."""
    cells = read_cells(records)
    areas = areas_frame(cells, statistics)
    return write_table(out, areas, area_tables(areas, cells, statistics))


def area_tables(areas: pd.DataFrame, cells: Cells, statistics: StatisticsConfig) -> list[Table]:
    """A table a model and protocol: a block a benchmark, a row a method."""
    made = []
    for model, protocol, setting in settings_of(areas):
        found = {(row.benchmark, row.line, row.variant): row for row in rows_of(setting)}
        blocks = []
        for benchmark in ordered_benchmarks(setting["benchmark"]):
            rows = []
            for line in ordered_methods(setting["line"]):
                both = [found.get((benchmark, line, variant)) for variant in VARIANTS]
                known = next((row for row in both if row is not None), None)
                swept = "" if known is None else _sweep_text(known)
                count = HOLE if known is None else str(known.points)
                areas_shown = [HOLE if row is None else percent(row.area, row.low, row.high) for row in both]
                rows.append([method_name(line), *areas_shown, count, swept])
            blocks.append((benchmark, rows))
        notes = [
            "Area of locality times edit success that a method's points dominate above (0, 0), per cent of the unit "
            f"square, with {statistics.level:.0%} intervals over independent units: Gaffke's for bounded values, with the "
            "same weights for all points. A method with a single point has a rectangle.",
            "Noise and further points enlarge the area: compare methods with as many points on the same records.",
            *unit_notes(setting.assign(metric="area")),
            *record_notes(cells.one(model, protocol)),
        ]
        heads = ["Method", "Area", "Area, dec.", "Points", "Swept"]
        made.append(Table(f"{model}, {protocol} editing: area under the trade-off", heads, blocks, notes))
    return made


def _sweep_text(row: Any) -> str:
    return f"{row.setting}: {row.values}" if row.setting else ""
