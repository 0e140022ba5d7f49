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
from matplotlib.transforms import Transform, offset_copy
from scipy.sparse.csgraph import connected_components

from baft.config import StatisticsConfig
from baft.report import style
from baft.report.cells import Cells, rows_of, settings_of
from baft.report.labels import FLOORS, UNEDITED, method_name, ordered_benchmarks, ordered_methods
from baft.report.rendering import HOLE
from baft.report.tradeoff import VARIANTS, areas_frame, tradeoff_frame

_COLUMNS = 5
_AREA = "area"
# Points between the marks of a ring.
_PITCH = 4.4
_FRONT: dict[str, Any] = {"color": "#9A9A9A", "linewidth": 0.9, "linestyle": "-", "zorder": 2}


def draw_tradeoff(cells: Cells, out: Path, statistics: StatisticsConfig, score: str, *, with_areas: bool) -> list[Path]:
    """Draw ``out``.pdf and .png, and write what they show to ``out``.csv; return the three paths.

    A panel a benchmark; locality to the right, the ``score`` of :func:`~baft.report.tradeoff.tradeoff_frame` upwards, per
    cent, mean over records with intervals both ways; teacher-forced in the upper row, decoded in the lower, for each model
    and protocol. Each panel is zoomed to its edited models. Marks that would hide each other stand in a ring around their
    place, which is a dot.
    The step line is the Pareto front of the edited models: no method has both more locality and a higher score. The
    unedited model and the edit of zeros are references and not on the front; one that lies outside the axes is written
    above the panel. Where a setting of a method was swept, its further points are hollow and joined in the order of
    the setting; ``with_areas`` a row of panels below then has the area that each method's points dominate. A benchmark
    without a single point has no panel; if none has any, a sentence says so.
    """
    found = tradeoff_frame(cells, statistics, score)
    frame = _with_points(found, score)
    if frame.empty:
        return style.save_sentence(f"No benchmark has both {score} and locality.", found, out)
    swept = bool(frame["method"].ne(frame["line"]).any())
    areas = areas_frame(cells, statistics) if swept and with_areas else None
    given = style.marks(frame["line"], cells.methods())
    settings = settings_of(frame)
    rows = [_rows(shown, with_areas=areas is not None) for _, _, shown in settings]
    columns = max(len(names) for row in rows for _, names in row)
    width = style.COLUMN if columns == 1 else style.PAGE
    lines = frame.loc[~frame["line"].isin(FLOORS), "line"].nunique()
    ratios = [[0.35 + 0.14 * lines if variant == _AREA else 1.3 + 0.03 * lines for variant, _ in row] for row in rows]
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
        return style.save(figure, found, out)


def _with_points(frame: pd.DataFrame, score: str) -> pd.DataFrame:
    """The rows of benchmarks on which some method has a point."""
    there = frame[["locality_mean", f"{score}_mean"]].notna().all(axis=1)
    panels = [frame[name] for name in ("model", "protocol", "benchmark")]
    found: pd.DataFrame = frame[there.groupby(panels).transform("any")]
    return found


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
            _write_outside(axis, drawn)
        for axis in line[len(names) :]:
            axis.set_axis_off()
        if variant == next(iter(VARIANTS)):
            # Above what is written of points outside the axes.
            style.name_panels(line[: len(names)], names, pad=4 + 8 * shown.loc[_floors(shown), "method"].nunique())
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
    there = shown[shown[["locality_mean", "score_mean"]].notna().all(axis=1) & ~_outside(axis, shown)]
    # What a method has as its own stands before what it was swept to.
    there = there.assign(own=there["method"].eq(there["line"])).sort_values("own", kind="stable")
    # Of many intervals none may hide the marks.
    faint = min(1.0, 6 / max(1, len(there)))
    places = 100 * there[["locality_mean", "score_mean"]].to_numpy(float)
    apart = _apart(axis, places)
    for row, (x, y), shift in zip(rows_of(there), places, apart, strict=True):
        mark = given[row.line]
        size = style.marker_size(mark) * (1.0 if row.own else 0.75)
        axis.errorbar(
            x,
            y,
            xerr=_arms(row.locality_mean, row.locality_low, row.locality_high),
            yerr=_arms(row.score_mean, row.score_low, row.score_high),
            ecolor=(mark.colour, faint * (0.65 if row.own else 0.3)),
            elinewidth=0.8 if row.own else 0.6,
            linestyle="",
            zorder=3,
        )
        look: dict[str, Any] = {"markeredgecolor": "white" if row.own else mark.colour, "clip_on": False}
        axis.plot(
            x,
            y,
            marker=mark.marker,
            markersize=0.8 * size if shift.any() else size,
            markerfacecolor=mark.colour if row.own else "white",
            markeredgewidth=0.4 if row.own else 0.7,
            zorder=5 if row.own else 4,
            transform=_shifted(axis, shift),
            **look,
        )
    for x, y in places[apart.any(axis=1)]:
        axis.plot(x, y, marker=".", markersize=1.6, color="#4D4D4D", markeredgewidth=0, clip_on=False, zorder=6)


def _apart(axis: Axes, places: np.ndarray) -> np.ndarray:
    """How far from its place (n, 2) each mark is drawn, in points: (n, 2), 0 for one that hides no other.

    Those that would hide each other stand in a ring that is as wide as they need.
    """
    reach = 0.02 * np.abs([np.diff(axis.get_xlim())[0], np.diff(axis.get_ylim())[0]])
    near = (np.abs(places[:, None] - places[None]) <= reach).all(axis=2)
    count, piles = connected_components(near, directed=False)
    shifts = np.zeros_like(places, dtype=float)
    for pile in range(count):
        own = np.flatnonzero(piles == pile)
        # The leftmost goes to the left.
        own = own[np.argsort(places[own, 0], kind="stable")]
        if len(own) > 1:
            radius = 0.5 * _PITCH / np.sin(np.pi / len(own))
            angles = np.pi * (1 - 2 * np.arange(len(own)) / len(own))
            shifts[own] = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return shifts


def _shifted(axis: Axes, shift: np.ndarray) -> Transform:
    """Where data is drawn, so many points aside."""
    figure = axis.get_figure(root=True)
    assert figure is not None
    return offset_copy(axis.transData, figure, *(shift / 72))


def _floors(shown: pd.DataFrame) -> pd.Series:
    found: pd.Series = shown["method"].isin(FLOORS)
    return found


def _outside(axis: Axes, shown: pd.DataFrame) -> pd.Series:
    """Which rows are references whose places are outside the axes."""
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    inside = shown["locality_mean"].mul(100).between(left, right) & shown["score_mean"].mul(100).between(bottom, top)
    found: pd.Series = _floors(shown) & ~inside & shown[["locality_mean", "score_mean"]].notna().all(axis=1)
    return found


def _write_outside(axis: Axes, shown: pd.DataFrame) -> None:
    """Name the references that are outside the axes above them, with their places."""
    lines = [
        f"outside: {'★' if row.method == UNEDITED else 'zero'} {100 * row.locality_mean:.0f}, {100 * row.score_mean:.0f}"
        for row in rows_of(shown[_outside(axis, shown)])
    ]
    where: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "left", "va": "bottom"}
    axis.annotate("\n".join(lines), (0, 1), (0, 2), fontsize=6, color="#6A6A6A", **where)


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
    there = [row is not None and not np.isnan(row.area) for row in rows]
    if not any(there):
        axis.text(0, place, HOLE, ha="center", va="center")
    for row, known, shift, face in zip(rows, there, (-0.17, 0.17), (mark.colour, "white"), strict=True):
        if not known:
            continue
        axis.plot([100 * row.low, 100 * row.high], [place + shift] * 2, color=mark.colour, linewidth=0.9)
        point: dict[str, Any] = {"marker": "o", "markersize": 3.2, "markerfacecolor": face, "markeredgewidth": 0.8}
        axis.plot(100 * row.area, place + shift, color=mark.colour, **point)
