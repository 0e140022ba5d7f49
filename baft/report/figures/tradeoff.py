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
from baft.report import estimates, style
from baft.report.cells import read_cells, rows_of, settings_of
from baft.report.labels import UNEDITED, ordered_benchmarks
from baft.results.schema import ALL_GROUPS
from baft.results.statistics import pareto_front

# Locality and edit success, as teacher forcing and as greedy decoding measure them.
VARIANTS = {
    "forced": ("locality", "edit_success"),
    "decoded": ("locality_decoded", "edit_success_decoded"),
}
_COLUMNS = 5
_FRONT: dict[str, Any] = {"color": "#9A9A9A", "linewidth": 0.9, "linestyle": "-", "zorder": 2}


def plot_tradeoff(records: Sequence[Path], out: Path, statistics: StatisticsConfig) -> list[Path]:
    """Draw ``out``.pdf and .png, and write what they show to ``out``.csv; return the three paths.

    A panel a benchmark; locality to the right, edit success upwards, per cent, mean over records with intervals both
    ways; teacher-forced in the upper row, decoded in the lower, for each model and protocol. Axes are zoomed to the
    edited models, alike along a row. The step line is the Pareto front of the edited models: no method has both more
    locality and more success. The unedited model is a reference and not on the front; where it lies off the axes, its
    locality and success are written in the corner.
    """
    frame = tradeoff_frame(records, statistics)
    given = style.marks(frame["method"])
    settings = settings_of(frame)
    rows = [_rows(shown) for _, _, shown in settings]
    columns = max(len(names) for row in rows for _, names in row)
    width = style.COLUMN if columns == 1 else style.PAGE
    heights = [1.45 * len(row) + 0.2 for row in rows]
    with style.drawing(width, sum(heights) + 0.6) as figure:
        parts = figure.subfigures(len(settings), 1, squeeze=False, height_ratios=heights)[:, 0]
        for part, (model, protocol, shown), row in zip(parts, settings, rows, strict=True):
            if len(settings) > 1:
                part.suptitle(f"{model}, {protocol}", x=0.02, ha="left", fontsize=8, fontweight="bold")
            _draw_rows(part.subplots(len(row), columns, squeeze=False), row, shown, given)
        handles = [*style.legend_handles(given), Line2D([], [], label="Pareto front", **_FRONT)]
        fit = 3 if columns == 1 else 6
        figure.legend(handles=handles, loc="outside lower center", ncols=min(fit, len(handles)), frameon=False)
        return style.save(figure, frame, out)


def tradeoff_frame(records: Sequence[Path], statistics: StatisticsConfig) -> pd.DataFrame:
    """One row a model, protocol, variant, benchmark and method: locality, success, intervals, whether on the front."""
    wanted = [metric for pair in VARIANTS.values() for metric in pair]
    means = estimates.means(read_cells(records), **statistics.bootstrap(), metrics=wanted)
    means = means[means["group"].eq(ALL_GROUPS)]
    pieces = []
    for variant, names in VARIANTS.items():
        sides = [
            means[means["metric"].eq(metric)].set_index(estimates.CELL)[["mean", "low", "high", "records"]]
            for metric in names
        ]
        both = sides[0].add_prefix("locality_").join(sides[1].add_prefix("success_"), how="inner").reset_index()
        pieces.append(both.assign(variant=variant))
    frame = pd.concat(pieces, ignore_index=True)
    frame["on_front"] = False
    edited = frame[frame["method"].ne(UNEDITED)]
    for _, group in edited.groupby(["model", "protocol", "variant", "benchmark"]):
        frame.loc[group.index, "on_front"] = pareto_front(group[["locality_mean", "success_mean"]].to_numpy())
    return frame


def _rows(shown: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Variant and benchmarks of each row of panels."""
    names = ordered_benchmarks(shown["benchmark"])
    starts = range(0, len(names), _COLUMNS)
    return [(variant, names[start : start + _COLUMNS]) for start in starts for variant in VARIANTS]


def _draw_rows(
    grid: np.ndarray, rows: Sequence[tuple[str, list[str]]], shown: pd.DataFrame, given: dict[str, style.Mark]
) -> None:
    for line, (variant, names) in zip(grid, rows, strict=True):
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
    edited = drawn[drawn["method"].ne(UNEDITED)]
    edited = drawn if edited.empty else edited
    ends = 100 * edited[[f"{side}_mean", f"{side}_low", f"{side}_high"]]
    low, high = 10 * np.floor(ends.min().min() / 10), 10 * np.ceil(ends.max().max() / 10)
    if high - low < 20:
        low, high = (high - 20, high) if high >= 20 else (low, low + 20)
    room = 0.06 * (high - low)
    return float(low - room), float(high + room)


def _panel(axis: Axes, shown: pd.DataFrame, given: dict[str, style.Mark]) -> None:
    for locator in (axis.xaxis, axis.yaxis):
        locator.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10], min_n_ticks=3))
    _draw_front(axis, shown[shown["on_front"]])
    for row in rows_of(shown):
        if row.method == UNEDITED and _off_scale(axis, row):
            continue
        mark = given[row.method]
        axis.errorbar(
            100 * row.locality_mean,
            100 * row.success_mean,
            xerr=_arms(row.locality_mean, row.locality_low, row.locality_high),
            yerr=_arms(row.success_mean, row.success_low, row.success_high),
            color=mark.colour,
            ecolor=(mark.colour, 0.65),
            elinewidth=0.8,
            marker=mark.marker,
            markersize=style.marker_size(mark),
            markeredgecolor="white",
            markeredgewidth=0.4,
            clip_on=False,
            zorder=3,
        )


def _off_scale(axis: Axes, row: Any) -> bool:
    """Write the unedited model's place into the corner if it is beyond the axes; whether it is."""
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    x, y = 100 * row.locality_mean, 100 * row.success_mean
    if left <= x <= right and bottom <= y <= top:
        return False
    axis.annotate(
        f"★ {x:.0f}, {y:.0f}",
        (1, 0),
        (-1, 2),
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
