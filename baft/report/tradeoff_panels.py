"""Trade-offs against locality, drawn: a panel a benchmark, teacher-forced and decoded, with the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from baft.config import StatisticsConfig
from baft.report import style
from baft.report.cells import read_cells, rows_of, settings_of
from baft.report.labels import FLOORS, UNEDITED, method_name, ordered_benchmarks, ordered_methods
from baft.report.rendering import HOLE
from baft.report.tradeoff import VARIANTS, areas_frame, tradeoff_frame

_COLUMNS = 5
_AREA = "area"
_FRONT: dict[str, Any] = {"color": "#9A9A9A", "linewidth": 0.9, "linestyle": "-", "zorder": 2}


def draw_tradeoff(
    records: Sequence[Path], out: Path, statistics: StatisticsConfig, score: str, *, with_areas: bool
) -> list[Path]:
    """Draw ``out``.pdf and .png, and write what they show to ``out``.csv; return the three paths.

    A panel a benchmark; locality to the right, the ``score`` of :func:`~baft.report.tradeoff.tradeoff_frame` upwards, per
    cent, mean over records with intervals both ways; teacher-forced in the upper row, decoded in the lower, for each model
    and protocol. Each panel is zoomed to its edited models. Of marks that would hide each other the first is the largest.
    The step line is the Pareto front of the edited models: no method has both more locality and a higher score. The
    unedited model and the edit of zeros are references and not on the front; where one lies off the axes, its place is
    written above the panel. Where a setting of a method was swept, its further points are hollow and joined in the order of
    the setting; ``with_areas`` a row of panels below then has the area that each method's points dominate.
    """
    cells = read_cells(records)
    frame = tradeoff_frame(cells, statistics, score)
    swept = bool(frame["method"].ne(frame["line"]).any())
    areas = areas_frame(cells, statistics) if swept and with_areas else None
    given = style.marks(frame["line"], cells.methods())
    settings = settings_of(frame)
    rows = [_rows(shown, with_areas=areas is not None) for _, _, shown in settings]
    columns = max(len(names) for row in rows for _, names in row)
    width = style.COLUMN if columns == 1 else style.PAGE
    lines = frame.loc[~frame["line"].isin(FLOORS), "line"].nunique()
    ratios = [[0.35 + 0.14 * lines if variant == _AREA else 1.45 for variant, _ in row] for row in rows]
    heights = [sum(ratio) + 0.2 for ratio in ratios]
    handles = [*style.legend_handles(given), *_handles(swept)]
    fit = 3 if columns == 1 else 6
    with style.drawing(width, sum(heights) + 0.3 + 0.16 * math.ceil(len(handles) / fit)) as figure:
        parts = figure.subfigures(len(settings), 1, squeeze=False, height_ratios=heights)[:, 0]
        for part, (model, protocol, shown), row, ratio in zip(parts, settings, rows, ratios, strict=True):
            if len(settings) > 1:
                part.suptitle(f"{model}, {protocol}", x=0.02, ha="left", fontsize=8, fontweight="bold")
            grid = part.subplots(len(row), columns, squeeze=False, height_ratios=ratio)
            _draw_rows(grid, row, shown.rename(columns=_upward(score)), given, score)
            if areas is not None:
                here = areas[areas["model"].eq(model) & areas["protocol"].eq(protocol)]
                _draw_areas(grid, row, here, given)
        figure.legend(handles=handles, loc="outside lower center", ncols=min(fit, len(handles)), frameon=False)
        return style.save(figure, frame, out)


def _upward(score: str) -> dict[str, str]:
    return {f"{score}_{part}": f"score_{part}" for part in ("mean", "low", "high")}


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
    grid: np.ndarray,
    rows: Sequence[tuple[str, list[str]]],
    shown: pd.DataFrame,
    given: dict[str, style.Mark],
    score: str,
) -> None:
    for line, (variant, names) in zip(grid, rows, strict=True):
        if variant == _AREA:
            continue
        for axis, name in zip(line, names, strict=False):
            drawn = shown[shown["variant"].eq(variant) & shown["benchmark"].eq(name)]
            axis.set(xlim=_limits(drawn, "locality"), ylim=_limits(drawn, "score"))
            _panel(axis, drawn, given)
        for axis in line[len(names) :]:
            axis.set_axis_off()
        if variant == next(iter(VARIANTS)):
            # Above what is written of points off the axes.
            style.name_panels(line[: len(names)], names, pad=12)
        line[0].set_ylabel(f"{score} (%) →\n{variant}")
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
        points = 100 * curve.sort_values("place")[["locality_mean", "score_mean"]].to_numpy()
        axis.plot(*points.T, color=given[str(name)].colour, linewidth=0.8, alpha=0.8, zorder=2.5)
    # What could not be measured has no place.
    there = shown[shown[["locality_mean", "score_mean"]].notna().all(axis=1)]
    # An array, since an empty list would choose no columns.
    inside = np.array([row.method not in FLOORS or not _off_scale(axis, row) for row in rows_of(there)], dtype=bool)
    # What a method has as its own stands before what it was swept to.
    there = there[inside].assign(own=there["method"].eq(there["line"])).sort_values("own", kind="stable")
    for row, scale in zip(rows_of(there), _scales(axis, there), strict=True):
        mark = given[row.line]
        size = scale * style.marker_size(mark)
        axis.errorbar(
            100 * row.locality_mean,
            100 * row.score_mean,
            xerr=_arms(row.locality_mean, row.locality_low, row.locality_high),
            yerr=_arms(row.score_mean, row.score_low, row.score_high),
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


def _scales(axis: Axes, there: pd.DataFrame) -> list[float]:
    """How large each mark is drawn: of those that would hide each other the first is the largest, so that all are seen."""
    points = 100 * there[["locality_mean", "score_mean"]].to_numpy(float)
    reach = 0.02 * np.abs([np.diff(axis.get_xlim())[0], np.diff(axis.get_ylim())[0]])
    near = (np.abs(points[:, None] - points[None]) <= reach).all(axis=2)
    return [0.8 ** int(np.tril(near, -1)[n].sum()) * 1.25 ** int(np.triu(near, 1)[n].sum()) for n in range(len(points))]


def _off_scale(axis: Axes, row: Any) -> bool:
    """Write the place of the unedited model or the edit of zeros above a panel if it is off its axes; whether it is."""
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    x, y = 100 * row.locality_mean, 100 * row.score_mean
    if left <= x <= right and bottom <= y <= top:
        return False
    sign, end = ("★", 1.0) if row.method == UNEDITED else ("zero", 0.0)
    axis.annotate(
        f"{sign} {x:.0f}, {y:.0f}",
        (end, 1),
        (0, 2),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right" if end else "left",
        va="bottom",
        fontsize=6.5,
        color="#6A6A6A",
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
    points = 100 * front.sort_values("locality_mean")[["locality_mean", "score_mean"]].to_numpy()
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
