"""Edit success against locality: the figure that a method cannot look good in by giving up one of the two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from baft.config import StatisticsConfig
from baft.config.products import FigureProduct
from baft.report import style
from baft.report.cells import read_cells, rows_of, settings_of
from baft.report.inputs import Inputs
from baft.report.labels import FLOORS, UNEDITED, method_name, ordered_benchmarks, ordered_methods
from baft.report.rendering import HOLE
from baft.report.tradeoff import VARIANTS, areas_frame, tradeoff_frame

PRODUCT = FigureProduct(cells="curves", category="Trade-off", label="edit success against locality", place=200)

_COLUMNS = 5
_AREA = "area"
_FRONT: dict[str, Any] = {"color": "#9A9A9A", "linewidth": 0.9, "linestyle": "-", "zorder": 2}


def write(inputs: Inputs, stem: Path) -> list[Path]:
    """Draw the figure at ``stem`` with the suffixes of figures; return the paths."""
    return plot_tradeoff(inputs.files, stem, inputs.statistics)


def plot_tradeoff(records: Sequence[Path], out: Path, statistics: StatisticsConfig) -> list[Path]:
    """Draw ``out``.pdf and .png, and write what they show to ``out``.csv; return the three paths.

    A panel a benchmark; locality to the right, edit success upwards, per cent, mean over records with intervals both
    ways; teacher-forced in the upper row, decoded in the lower, for each model and protocol. Axes are zoomed to the
    edited models, alike along a row. The step line is the Pareto front of the edited models: no method has both more
    locality and more success. The unedited model and the edit of zeros are references and not on the front; where one lies
    off the axes, its locality and success are written in the corner. Where a setting of a method was swept, its further
    points are hollow and joined in the order of the setting, and a row of panels below has the area that each method's
    points dominate.
    """
    cells = read_cells(records)
    frame = tradeoff_frame(cells, statistics)
    swept = bool(frame["method"].ne(frame["line"]).any())
    areas = areas_frame(cells, statistics) if swept else None
    given = style.marks(frame["line"], cells.methods())
    settings = settings_of(frame)
    rows = [_rows(shown, with_areas=swept) for _, _, shown in settings]
    columns = max(len(names) for row in rows for _, names in row)
    width = style.COLUMN if columns == 1 else style.PAGE
    lines = frame.loc[~frame["line"].isin(FLOORS), "line"].nunique()
    ratios = [[0.35 + 0.14 * lines if variant == _AREA else 1.45 for variant, _ in row] for row in rows]
    heights = [sum(ratio) + 0.2 for ratio in ratios]
    with style.drawing(width, sum(heights) + 0.6) as figure:
        parts = figure.subfigures(len(settings), 1, squeeze=False, height_ratios=heights)[:, 0]
        for part, (model, protocol, shown), row, ratio in zip(parts, settings, rows, ratios, strict=True):
            if len(settings) > 1:
                part.suptitle(f"{model}, {protocol}", x=0.02, ha="left", fontsize=8, fontweight="bold")
            grid = part.subplots(len(row), columns, squeeze=False, height_ratios=ratio)
            _draw_rows(grid, row, shown, given)
            if areas is not None:
                here = areas[areas["model"].eq(model) & areas["protocol"].eq(protocol)]
                _draw_areas(grid, row, here, given)
        handles = [*style.legend_handles(given), *_handles(swept)]
        fit = 3 if columns == 1 else 6
        figure.legend(handles=handles, loc="outside lower center", ncols=min(fit, len(handles)), frameon=False)
        return style.save(figure, frame, out)


def _handles(swept: bool) -> list[Line2D]:
    front = Line2D([], [], label="Pareto front", **_FRONT)
    if not swept:
        return [front]
    grey: dict[str, Any] = {"color": "#4D4D4D", "marker": "o", "markersize": 3.4, "linewidth": 0.8}
    return [
        front,
        Line2D([], [], label="setting swept", markerfacecolor="white", markeredgewidth=0.8, **grey),
    ]


def _rows(shown: pd.DataFrame, *, with_areas: bool) -> list[tuple[str, list[str]]]:
    """Variant, or :data:`_AREA`, and benchmarks of each row of panels."""
    names = ordered_benchmarks(shown["benchmark"])
    starts = range(0, len(names), _COLUMNS)
    kinds = [*VARIANTS, _AREA] if with_areas else [*VARIANTS]
    return [(kind, names[start : start + _COLUMNS]) for start in starts for kind in kinds]


def _draw_rows(
    grid: np.ndarray, rows: Sequence[tuple[str, list[str]]], shown: pd.DataFrame, given: dict[str, style.Mark]
) -> None:
    for line, (variant, names) in zip(grid, rows, strict=True):
        if variant == _AREA:
            continue
        drawn = shown[shown["variant"].eq(variant) & shown["benchmark"].isin(names)]
        limits = _limits(drawn, "locality"), _limits(drawn, "success")
        for axis, name in zip(line, names, strict=False):
            axis.set(xlim=limits[0], ylim=limits[1])
            _panel(axis, drawn[drawn["benchmark"] == name], given)
            axis.tick_params(labelleft=axis is line[0])
        for axis in line[len(names) :]:
            axis.set_axis_off()
        if variant == next(iter(VARIANTS)):
            style.name_panels(line[: len(names)], names)
        line[0].set_ylabel(f"success (%) →\n{variant}")
        line[(len(names) - 1) // 2].set_xlabel(f"locality, {variant} (%) →")


def _limits(drawn: pd.DataFrame, side: str) -> tuple[float, float]:
    """Axis limits that hold the edited models' intervals, in tens and at least 20 apart, with room at both ends."""
    edited = drawn[~drawn["method"].isin(FLOORS)]
    edited = drawn if edited.empty else edited
    ends = 100 * edited[[f"{side}_mean", f"{side}_low", f"{side}_high"]]
    low, high = 10 * np.floor(ends.min().min() / 10), 10 * np.ceil(ends.max().max() / 10)
    if np.isnan(low):
        # Nothing of this variant was measured.
        low, high = 0.0, 100.0
    if high - low < 20:
        low, high = (high - 20, high) if high >= 20 else (low, low + 20)
    room = 0.06 * (high - low)
    return float(low - room), float(high + room)


def _panel(axis: Axes, shown: pd.DataFrame, given: dict[str, style.Mark]) -> None:
    for locator in (axis.xaxis, axis.yaxis):
        locator.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10], min_n_ticks=3))
    _draw_front(axis, shown[shown["on_front"]])
    for name, curve in shown.groupby("line"):
        points = 100 * curve.sort_values("place")[["locality_mean", "success_mean"]].to_numpy()
        axis.plot(*points.T, color=given[str(name)].colour, linewidth=0.8, alpha=0.8, zorder=2.5)
    # What a method has as its own stands before what it was swept to.
    for row in rows_of(shown.assign(own=shown["method"].eq(shown["line"])).sort_values("own", kind="stable")):
        if np.isnan([row.locality_mean, row.success_mean]).any():
            # One of the two could not be measured.
            continue
        if row.method in FLOORS and _off_scale(axis, row):
            continue
        mark = given[row.line]
        size = style.marker_size(mark)
        axis.errorbar(
            100 * row.locality_mean,
            100 * row.success_mean,
            xerr=_arms(row.locality_mean, row.locality_low, row.locality_high),
            yerr=_arms(row.success_mean, row.success_low, row.success_high),
            color=mark.colour,
            ecolor=(mark.colour, 0.65 if row.own else 0.3),
            elinewidth=0.8 if row.own else 0.6,
            marker=mark.marker,
            markersize=size if row.own else 0.75 * size,
            markerfacecolor=mark.colour if row.own else "white",
            markeredgecolor="white" if row.own else mark.colour,
            markeredgewidth=0.4 if row.own else 0.7,
            clip_on=False,
            zorder=4 if row.own else 3,
        )


def _off_scale(axis: Axes, row: Any) -> bool:
    """Write the place of the unedited model or the edit of zeros into the corner if it is off the axes; whether it is."""
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    x, y = 100 * row.locality_mean, 100 * row.success_mean
    if left <= x <= right and bottom <= y <= top:
        return False
    sign, line = ("★", 0) if row.method == UNEDITED else ("zero", 1)
    axis.annotate(
        f"{sign} {x:.0f}, {y:.0f}",
        (1, 0),
        (-1, 2 + 8 * line),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=7,
        color="#6A6A6A",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
    )
    return True


def _arms(mean: float, low: float, high: float) -> np.ndarray | None:
    if np.isnan(low) or np.isnan(high):
        return None
    return 100 * np.maximum([[mean - low], [high - mean]], 0.0)


def _draw_front(axis: Axes, front: pd.DataFrame) -> None:
    """The edge of the region that the front dominates, down to the axes."""
    if front.empty:
        return
    points = 100 * front.sort_values("locality_mean")[["locality_mean", "success_mean"]].to_numpy()
    x = np.concatenate([[axis.get_xlim()[0]], points[:, 0], points[-1:, 0]])
    y = np.concatenate([points[:1, 1], points[:, 1], [axis.get_ylim()[0]]])
    axis.step(x, y, where="pre", **_FRONT)


def _draw_areas(
    grid: np.ndarray, rows: Sequence[tuple[str, list[str]]], areas: pd.DataFrame, given: dict[str, style.Mark]
) -> None:
    """The dominated areas with intervals, a line a method: teacher-forced filled, decoded hollow."""
    methods = ordered_methods(areas["line"])
    ends = 100 * areas[["area", "high"]].max().max()
    right = min(104.0, 10 * float(np.ceil(ends / 10)) + 4) if ends > 0 else 14.0
    for line, (kind, names) in zip(grid, rows, strict=True):
        if kind != _AREA:
            continue
        for axis, name in zip(line, names, strict=False):
            found = {(row.line, row.variant): row for row in rows_of(areas[areas["benchmark"].eq(name)])}
            for place, method in enumerate(methods):
                _draw_area(axis, place, [found.get((method, variant)) for variant in VARIANTS], given[method])
            axis.set(xlim=(-4, right), ylim=(len(methods) - 0.5, -0.5))
            axis.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
            axis.set_yticks(range(len(methods)), [method_name(method) for method in methods])
            axis.tick_params(axis="y", length=0, labelleft=axis is line[0])
            axis.grid(visible=False, axis="y")
        for axis in line[len(names) :]:
            axis.set_axis_off()
        line[(len(names) - 1) // 2].set_xlabel("area dominated (%) →")


def _draw_area(axis: Axes, place: int, rows: Sequence[Any], mark: style.Mark) -> None:
    if all(row is None for row in rows):
        axis.text(0, place, HOLE, ha="center", va="center")
    for row, shift, face in zip(rows, (-0.17, 0.17), (mark.colour, "white"), strict=True):
        if row is None:
            continue
        axis.plot([100 * row.low, 100 * row.high], [place + shift] * 2, color=mark.colour, linewidth=0.9)
        point: dict[str, Any] = {"marker": "o", "markersize": 3.2, "markerfacecolor": face, "markeredgewidth": 0.8}
        axis.plot(100 * row.area, place + shift, color=mark.colour, **point)
