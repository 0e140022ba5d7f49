"""What a method trains, changes and stores, beside what that achieves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter

from baft.config import StatisticsConfig
from baft.config.products import FigureProduct
from baft.report import estimates, style
from baft.report.cells import Cells, read_cells, rows_of, settings_of
from baft.report.inputs import Inputs
from baft.report.labels import FLOORS, method_name, ordered_benchmarks, ordered_methods
from baft.report.rendering import HOLE, quantity
from baft.results.schema import ALL_GROUPS

PRODUCT = FigureProduct(cells="records", category="Cost", label="parameters beside success", place=210)

_SUCCESS = ("edit_success", "edit_success_decoded")
_COLUMNS = 5
# What an edit trains and changes, and what a stream stores after its last edit.
_BARS: dict[str, dict[str, Any]] = {
    "parameters_trained": {"label": "trained", "filled": False, "hatch": "////"},
    "parameters_changed": {"label": "changed", "filled": True, "hatch": None},
    "numbers_stored": {"label": "stored", "filled": False, "hatch": None},
}


def write(inputs: Inputs, stem: Path) -> list[Path]:
    """Draw the figure at ``stem`` with the suffixes of figures; return the paths."""
    return plot_parameters(inputs.files, inputs.edits, stem, inputs.statistics)


def plot_parameters(
    records: Sequence[Path], edits: Sequence[Path], out: Path, statistics: StatisticsConfig
) -> list[Path]:
    """Draw ``out``.pdf and .png, and write what they show to ``out``.csv; return the three paths.

    A row of panels for each model and protocol: bars of the parameters an edit trains, of the model weights it changes and
    of the numbers that a stream stores after its last edit (logarithmic; median over edits or streams, then over
    benchmarks), then for each benchmark that was run edit success with its interval, teacher-forced (filled) and decoded
    (hollow). The unedited model is left out.
    """
    cells = read_cells(records)
    frame = parameters_frame(cells, edits, statistics)
    if frame.empty:
        with style.drawing(style.COLUMN, 1) as figure:
            figure.text(0.5, 0.5, "no method but the unedited model was run", ha="center")
            return style.save(figure, frame, out)
    settings = settings_of(frame)
    rows = [(*setting, line) for setting in settings for line in _lines(setting[2])]
    given = style.marks(frame["method"], cells.methods())
    columns = 1 + max(len(line) for *_, line in rows)
    height = sum(0.75 + 0.36 * shown["method"].nunique() for _, _, shown, _ in rows) + 0.3
    with style.drawing(style.PAGE, height) as figure:
        ratios = [2.2, *[1.0] * (columns - 1)]
        grid = figure.subplots(len(rows), columns, squeeze=False, width_ratios=ratios, sharey="row")
        for axes, (model, protocol, shown, line) in zip(grid, rows, strict=True):
            methods = ordered_methods(shown["method"])
            _bars(axes[0], shown, methods, given)
            axes[0].set_title(f"{model}, {protocol}" if len(settings) > 1 else "", loc="left", pad=4)
            for axis, name in zip(axes[1:], line, strict=False):
                _successes(axis, shown[shown["benchmark"] == name], methods, given)
            style.name_panels(axes[1 : len(line) + 1], line)
            for axis in axes[len(line) + 1 :]:
                axis.set_axis_off()
        figure.legend(handles=_handles(), loc="outside lower center", ncols=5, frameon=False)
        return style.save(figure, frame, out)


def _lines(shown: pd.DataFrame) -> list[list[str]]:
    """The benchmarks of each row of panels: those that were run under these conditions."""
    names = ordered_benchmarks(shown["benchmark"])
    return [names[start : start + _COLUMNS] for start in range(0, len(names), _COLUMNS)]


def parameters_frame(cells: Cells, edits: Sequence[Path], statistics: StatisticsConfig) -> pd.DataFrame:
    """One row a model, protocol, method and benchmark: what is trained, changed and stored, edit success with
    intervals."""
    means = estimates.means(cells, level=statistics.level, metrics=_SUCCESS, groups=[ALL_GROUPS])
    means = means[~means["method"].isin(FLOORS)]
    columns = [*estimates.CELL, *_BARS, "stream_edits"]
    frame = estimates.costs(edits, level=statistics.level)[columns]
    frame = frame[~frame["method"].isin(FLOORS)]
    for metric in _SUCCESS:
        side = means[means["metric"].eq(metric)].set_index(estimates.CELL)[["mean", "low", "high", "unmeasured"]]
        frame = frame.join(side.add_prefix(f"{metric}_"), on=estimates.CELL)
    return frame.reset_index(drop=True)


def _bars(axis: Axes, shown: pd.DataFrame, methods: Sequence[str], given: dict[str, style.Mark]) -> None:
    counts = shown.groupby("method")[list(_BARS)].median()
    largest = float(np.nanmax([10.0, *counts.to_numpy(float).ravel()]))
    axis.set(xscale="log", xlim=(1, largest**1.3))
    # The formatter of a logarithmic axis writes formulas, which are not drawn here.
    axis.xaxis.set_major_formatter(lambda value, _: quantity(value))
    axis.xaxis.set_minor_formatter(NullFormatter())
    for place, method in enumerate(methods):
        for shift, (name, look) in zip((-0.27, 0.0, 0.27), _BARS.items(), strict=True):
            value, colour = float(counts[name][method]), given[method].colour
            face = colour if look["filled"] else "white"
            axis.barh(place + shift, value, 0.24, facecolor=face, hatch=look["hatch"], edgecolor=colour, linewidth=0.8)
            text = HOLE if np.isnan(value) else quantity(value)
            at = max(1.0 if np.isnan(value) else value, 1.0)
            axis.annotate(text, (at, place + shift), (2, 0), textcoords="offset points", va="center", fontsize=6.5)
    axis.set_yticks(range(len(methods)), [method_name(method) for method in methods])
    axis.set_ylim(len(methods) - 0.4, -0.6)
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel("numbers")


def _successes(axis: Axes, shown: pd.DataFrame, methods: Sequence[str], given: dict[str, style.Mark]) -> None:
    rows = {row.method: row._asdict() for row in rows_of(shown)}
    for place, method in enumerate(methods):
        row = rows.get(method)
        if row is None or np.isnan(row["edit_success_mean"]):
            axis.text(50, place, HOLE, ha="center", va="center")
            continue
        colour = given[method].colour
        for metric, offset, face in (("edit_success", -0.2, colour), ("edit_success_decoded", 0.2, "white")):
            mean, low, high = (100 * row[f"{metric}_{part}"] for part in ("mean", "low", "high"))
            axis.plot([low, high], [place + offset] * 2, color=colour, linewidth=1.0, solid_capstyle="butt")
            point: dict[str, Any] = {"marker": "o", "markersize": 3.6, "markerfacecolor": face, "markeredgewidth": 0.8}
            axis.plot(mean, place + offset, color=colour, **point)
    axis.set(xlim=(-12, 112), xticks=(0, 50, 100))
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel("success (%)")


def _handles() -> list[Patch | Line2D]:
    grey = "#4D4D4D"
    point: dict[str, Any] = {"color": grey, "marker": "o", "markersize": 3.6, "linewidth": 1.0, "markeredgewidth": 0.8}
    bars = [
        Patch(facecolor=grey if look["filled"] else "white", edgecolor=grey, hatch=look["hatch"], label=look["label"])
        for look in _BARS.values()
    ]
    return [
        *bars,
        Line2D([], [], label="teacher-forced", **point),
        Line2D([], [], label="decoded", markerfacecolor="white", **point),
    ]
