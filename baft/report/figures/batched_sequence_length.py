"""Scores against the number of edits that a stream has made: what batched and continual editing do to earlier edits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from baft.config import StatisticsConfig
from baft.config.products import FigureProduct
from baft.report import style
from baft.report.cells import read_cells, rows_of
from baft.report.inputs import Inputs
from baft.report.labels import FLOORS, ordered_benchmarks
from baft.report.sequences import MEASURED, sequence_frame

PRODUCT = FigureProduct(cells="sequences", category="Sequences", label="scores against edits made", place=220)

_TITLES = {"edit_success": "success", "generality": "generality", "locality": "locality", "portability": "portability"}
_SCORED: dict[str, dict[str, Any]] = {
    "final": {"linestyle": "-", "linewidth": 1.1},
    "immediate": {"linestyle": (0, (2, 1.5)), "linewidth": 0.9, "alpha": 0.7},
}


def write(inputs: Inputs, stem: Path) -> list[Path]:
    """Draw the figure at ``stem`` with the suffixes of figures; return the paths."""
    return plot_batched_sequence_length(inputs.files, stem, inputs.statistics)


def plot_batched_sequence_length(records: Sequence[Path], out: Path, statistics: StatisticsConfig) -> list[Path]:
    """Draw ``out``.pdf and .png, and write what they show to ``out``.csv; return the three paths.

    A row a model, protocol and benchmark, a column a metric, a line a method: solid for all records edited so far, scored
    after so many edits, dashed for the same records, each scored right after its own step. Per cent, mean over records;
    the band is the interval over streams, where there are two or more. At a single number of edits methods stand beside each
    other with bars, a dash being what each had right after its own step. The unedited model and the edit of zeros are not
    drawn.
    """
    cells = read_cells(records)
    frame = sequence_frame(cells, statistics)
    frame = frame[~frame["method"].isin(FLOORS)].reset_index(drop=True)
    rows = [
        (model, protocol, benchmark, group)
        for (model, protocol), part in frame.groupby(["model", "protocol"], sort=False)
        for benchmark in ordered_benchmarks(part["benchmark"])
        for group in [part[part["benchmark"].eq(benchmark)]]
    ]
    columns = [metric for metric in MEASURED if frame["metric"].eq(metric).any()]
    given = style.marks(frame["method"], cells.methods())
    several = frame["model"].nunique() > 1
    with style.drawing(style.PAGE, 1.35 * len(rows) + 0.6) as figure:
        grid = figure.subplots(len(rows), len(columns), squeeze=False, sharey=True)
        for line, (model, protocol, benchmark, shown) in zip(grid, rows, strict=True):
            for axis, metric in zip(line, columns, strict=True):
                _panel(axis, shown[shown["metric"].eq(metric)], given)
            setting = style.panel_name(str(protocol).replace("-", " "))
            name = f"{model}\n{setting}" if several else setting
            line[0].set_ylabel(f"{style.panel_name(benchmark)}\n{name} (%)")
        for axis, metric in zip(grid[0], columns, strict=True):
            axis.set_title(_TITLES[metric], pad=4)
        for axis in grid[-1]:
            axis.set_xlabel("edits made")
        kinds = [Line2D([], [], color="#4D4D4D", label=label, **look) for label, look in _SCORED.items()]
        handles = [*style.legend_handles(given), *kinds]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(7, len(handles)), frameon=False)
        return style.save(figure, frame, out)


def _panel(axis: Axes, shown: pd.DataFrame, given: dict[str, style.Mark]) -> None:
    axis.set_ylim(-4, 104)
    if shown.empty:
        axis.set_axis_off()
        return
    points = sorted(shown["edits"].unique())
    if points[-1] > 10 * points[0]:
        axis.set_xscale("log")
    axis.xaxis.set_major_locator(FixedLocator(points))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticklabels([str(point) for point in points])
    if len(points) == 1:
        _draw_side_by_side(axis, shown, given, points[0])
    else:
        axis.margins(x=0.08)
        _draw_lines(axis, shown, given)


def _draw_lines(axis: Axes, shown: pd.DataFrame, given: dict[str, style.Mark]) -> None:
    for (method, scored), line in shown.groupby(["method", "scored"]):
        mark = given[str(method)]
        line = line.sort_values("edits")
        x, y = line["edits"].to_numpy(), 100 * line["mean"].to_numpy()
        final = scored == "final"
        axis.plot(
            x,
            y,
            color=mark.colour,
            marker=mark.marker if final else "",
            markersize=0.8 * style.marker_size(mark),
            zorder=3 if final else 2.5,
            clip_on=False,
            **_SCORED[str(scored)],
        )
        if final and not np.isnan(line["low"]).any():
            low, high = 100 * line["low"].to_numpy(), 100 * line["high"].to_numpy()
            axis.fill_between(x, low, high, color=mark.colour, alpha=0.12, linewidth=0)


def _draw_side_by_side(axis: Axes, shown: pd.DataFrame, given: dict[str, style.Mark], point: float) -> None:
    """Where all is scored at one number of edits, there are no lines: methods stand beside each other, and a dash is what
    they had right after each step."""
    there = [method for method in given if shown["method"].eq(method).any()]
    for place, method in enumerate(there):
        mark, x = given[method], point + (place - (len(there) - 1) / 2) / len(there)
        own = {str(row.scored): row for row in rows_of(shown[shown["method"].eq(method)])}
        final = own["final"]
        look: dict[str, Any] = {"color": mark.colour, "clip_on": False}
        axis.vlines(x, 100 * final.low, 100 * final.high, linewidth=1.1, **look)
        axis.plot(x, 100 * final.mean, marker=mark.marker, markersize=0.8 * style.marker_size(mark), **look)
        if "immediate" in own:
            axis.plot(x, 100 * own["immediate"].mean, marker="_", markersize=6, alpha=0.7, **look)
    axis.set_xlim(point - 0.6, point + 0.6)
