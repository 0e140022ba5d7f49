"""Edit success against locality: the figure that a method cannot look good in by giving up one of the two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from baft.config import StatisticsConfig
from baft.report import estimates, style
from baft.report.cells import read_cells
from baft.report.labels import UNEDITED, ordered_benchmarks
from baft.results.schema import ALL_GROUPS
from baft.results.statistics import pareto_front

# Locality and edit success, as teacher forcing and as greedy decoding measure them.
VARIANTS = {
    "forced": ("locality", "edit_success"),
    "decoded": ("locality_decoded", "edit_success_decoded"),
}
_COLUMNS = 5
_FRONT = {"color": "#9A9A9A", "linewidth": 0.9, "linestyle": "-", "zorder": 1}


def plot_tradeoff(records: Sequence[Path], out: Path, statistics: StatisticsConfig) -> list[Path]:
    """Draw ``out``.pdf and .png, and write what they show to ``out``.csv; return the three paths.

    A panel a benchmark; locality to the right, edit success upwards, per cent, mean over records with intervals both
    ways; teacher-forced in the upper row, decoded in the lower, for each model and protocol. The step line is the Pareto
    front of the edited models: no method has both more locality and more success. The unedited model is a reference and
    not on the front.
    """
    frame = tradeoff_frame(records, statistics)
    given = style.marks(frame["method"])
    rows = _rows(frame)
    columns = max(len(names) for _, _, names in rows)
    width = style.COLUMN if columns == 1 else style.PAGE
    with style.drawing(width, 1.62 * len(rows) + 0.55) as figure:
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for line, (setting, variant, names) in zip(grid, rows, strict=True):
            shown = frame[(frame["setting"] == setting) & (frame["variant"] == variant)]
            for axis, name in zip(line, names, strict=False):
                _panel(axis, shown[shown["benchmark"] == name], given)
            for axis in line[len(names) :]:
                axis.set_axis_off()
            style.name_panels(line[: len(names)], names)
            heading = f"{setting}\n" if frame["setting"].nunique() > 1 else ""
            line[0].set_ylabel(f"{heading}edit success (%) →\n{variant}")
            for axis in line[1:]:
                axis.tick_params(labelleft=False)
            for axis in line[: len(names)]:
                axis.set_xlabel("locality (%) →")
        handles = [*style.legend_handles(given), Line2D([], [], label="Pareto front", **_FRONT)]
        fit = 3 if columns == 1 else 6
        figure.legend(handles=handles, loc="outside lower center", ncols=min(fit, len(handles)), frameon=False)
        return style.save(figure, frame.drop(columns="setting"), out)


def tradeoff_frame(records: Sequence[Path], statistics: StatisticsConfig) -> pd.DataFrame:
    """One row a model, protocol, variant, benchmark and method: locality, success, intervals, whether on the front."""
    wanted = [metric for pair in VARIANTS.values() for metric in pair]
    means = estimates.means(read_cells(records), **statistics.model_dump(), metrics=wanted)
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
    frame["setting"] = frame["model"] + ", " + frame["protocol"]
    return frame


def _rows(frame: pd.DataFrame) -> list[tuple[str, str, list[str]]]:
    """Setting, variant and benchmarks of each row of panels."""
    rows = []
    for setting, shown in frame.groupby("setting", sort=True):
        names = ordered_benchmarks(shown["benchmark"])
        for start in range(0, len(names), _COLUMNS):
            rows += [(str(setting), variant, names[start : start + _COLUMNS]) for variant in VARIANTS]
    return rows


def _panel(axis: Axes, shown: pd.DataFrame, given: dict[str, style.Mark]) -> None:
    axis.set(xlim=(-5, 105), ylim=(-5, 105), xticks=range(0, 101, 25), yticks=range(0, 101, 25))
    axis.set_xticks([0, 50, 100])
    _draw_front(axis, shown[shown["on_front"]])
    for row in shown.itertuples():
        mark = given[row.method]
        x, y = 100 * row.locality_mean, 100 * row.success_mean
        axis.errorbar(
            x,
            y,
            xerr=_arms(row.locality_mean, row.locality_low, row.locality_high),
            yerr=_arms(row.success_mean, row.success_low, row.success_high),
            color=mark.colour,
            linewidth=0.7,
            alpha=0.6,
            zorder=2,
        )
        axis.plot(
            x,
            y,
            color=mark.colour,
            marker=mark.marker,
            markersize=style.marker_size(mark),
            markeredgecolor="white",
            markeredgewidth=0.4,
            linestyle="",
            zorder=3,
            clip_on=False,
        )


def _arms(mean: float, low: float, high: float) -> np.ndarray | None:
    if np.isnan(low) or np.isnan(high):
        return None
    return 100 * np.maximum([[mean - low], [high - mean]], 0.0)


def _draw_front(axis: Axes, front: pd.DataFrame) -> None:
    """The edge of the region that the front dominates, down to the axes."""
    if front.empty:
        return
    points = 100 * front.sort_values("locality_mean")[["locality_mean", "success_mean"]].to_numpy()
    x = np.concatenate([[-5.0], points[:, 0], points[-1:, 0]])
    y = np.concatenate([points[:1, 1], points[:, 1], [-5.0]])
    axis.step(x, y, where="pre", **_FRONT)
