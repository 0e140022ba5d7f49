"""Scores against the number of edits that a stream has made: what batched and continual editing do to earlier edits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from baft.config import StatisticsConfig
from baft.config.products import FigureProduct
from baft.report import style
from baft.report.cells import read_cells, rows_of
from baft.report.inputs import Inputs
from baft.report.labels import FLOORS, method_name, ordered_benchmarks, ordered_methods
from baft.report.sequences import MEASURED, sequence_frame

PRODUCT = FigureProduct(cells="sequences", category="Sequences", label="scores against edits made", place=220)

_TITLES = {"edit_success": "success", "generality": "generality", "locality": "locality", "portability": "portability"}
# Inches of a number of edits, between two methods, and of all else in a block.
_LINE, _GAP, _ROOM = 0.085, 0.06, 0.62
_IMMEDIATE: dict[str, Any] = {"marker": "|", "markersize": 5.5, "markeredgewidth": 0.9, "linestyle": ""}


@dataclass(frozen=True)
class _Block:
    """What was scored of one model, protocol and benchmark: a lane a method, in it a line a number of edits, downwards."""

    name: str
    shown: pd.DataFrame
    methods: Sequence[str]
    edits: Sequence[float]

    @property
    def height(self) -> float:
        """In inches."""
        return len(self.methods) * (_LINE * len(self.edits) + _GAP) + _ROOM

    def line(self, method: str, edits: float) -> float:
        """The height of a method's number of edits, downwards in inches."""
        return self.methods.index(method) * (_LINE * len(self.edits) + _GAP) + _LINE * self.edits.index(edits)


def write(inputs: Inputs, stem: Path) -> list[Path]:
    """Draw the figure at ``stem`` with the suffixes of figures; return the paths."""
    return plot_batched_sequence_length(inputs.files, stem, inputs.statistics)


def plot_batched_sequence_length(records: Sequence[Path], out: Path, statistics: StatisticsConfig) -> list[Path]:
    """Draw ``out``.pdf and .png, and write what they show to ``out``.csv; return the three paths.

    A block a model, protocol and benchmark, a column a metric, a lane a method, so that equal scores hide no method; in a
    lane, downwards, the numbers of edits made. A mark is the mean over all records edited so far, per cent, with its
    interval over streams where there are enough; a stroke is that of the same records, each scored right after its own
    step. The unedited model and the edit of zeros are not drawn.
    """
    cells = read_cells(records)
    frame = sequence_frame(cells, statistics)
    frame = frame[~frame["method"].isin(FLOORS)].reset_index(drop=True)
    blocks = _blocks(frame)
    columns = [metric for metric in MEASURED if frame["metric"].eq(metric).any()]
    given = style.marks(frame["method"], cells.methods())
    heights = [block.height for block in blocks]
    with style.drawing(style.PAGE, sum(heights) + 0.3) as figure:
        parts = figure.subfigures(len(blocks), 1, squeeze=False, height_ratios=heights)[:, 0]
        for part, block in zip(parts, blocks, strict=True):
            part.suptitle(block.name, x=0.02, ha="left", fontsize=8, fontweight="bold")
            axes = part.subplots(1, len(columns), squeeze=False, sharey=True)[0]
            for axis, metric in zip(axes, columns, strict=True):
                axis.set_title(_TITLES[metric], pad=3)
                _draw(axis, block, block.shown[block.shown["metric"].eq(metric)], given)
            _name_lanes(axes[0], block)
        figure.legend(handles=_handles(), loc="outside lower center", ncols=2, frameon=False)
        return style.save(figure, frame, out)


def _blocks(frame: pd.DataFrame) -> list[_Block]:
    several = frame["model"].nunique() > 1
    found = []
    for (model, protocol), part in frame.groupby(["model", "protocol"], sort=False):
        for benchmark in ordered_benchmarks(part["benchmark"]):
            shown = part[part["benchmark"].eq(benchmark)]
            name = f"{str(protocol).replace('-', ' ')}, {benchmark.replace('_', ' ')}"
            edits = sorted(shown["edits"].unique().tolist())
            methods = ordered_methods(shown["method"])
            found.append(_Block(f"{model}, {name}" if several else name, shown, methods, edits))
    return found


def _draw(axis: Axes, block: _Block, shown: pd.DataFrame, given: dict[str, style.Mark]) -> None:
    if shown.empty:
        axis.set_axis_off()
        return
    end = block.line(block.methods[-1], block.edits[-1])
    axis.set(xlim=(-6, 106), xticks=(0, 50, 100), ylim=(end + 0.7 * _LINE, -0.7 * _LINE))
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", which="both", length=0)
    for later in block.methods[1:]:
        axis.axhline(block.line(later, block.edits[0]) - (_LINE + _GAP) / 2, color="#E5E5E5", linewidth=0.5, zorder=1)
    for (method, scored), rows in shown.groupby(["method", "scored"]):
        rows, mark = rows.sort_values("edits"), given[str(method)]
        x = 100 * rows["mean"].to_numpy(float)
        y = [block.line(str(method), edits) for edits in rows["edits"]]
        if scored == "immediate":
            axis.plot(x, y, color=mark.colour, zorder=2.5, **_IMMEDIATE)
            continue
        axis.plot(x, y, color=mark.colour, linewidth=0.8, alpha=0.6, zorder=2)
        own: dict[str, Any] = {"color": mark.colour, "marker": mark.marker, "linestyle": "", "markeredgecolor": "white"}
        axis.plot(x, y, markersize=0.8 * style.marker_size(mark), markeredgewidth=0.3, clip_on=False, zorder=3, **own)
        for row, height in zip(rows_of(rows), y, strict=True):
            if not np.isnan(row.low):
                axis.hlines(height, 100 * row.low, 100 * row.high, color=mark.colour, linewidth=0.8, zorder=2.5)


def _name_lanes(axis: Axes, block: _Block) -> None:
    """The methods, and the number of edits of each line, left of a block's first axes."""
    lines = [(block.line(method, edits), f"{edits:g}") for method in block.methods for edits in block.edits]
    axis.set_yticks([height for height, _ in lines], [text for _, text in lines], minor=True)
    middle = (len(block.edits) - 1) / 2 * _LINE
    axis.set_yticks(
        [block.line(method, block.edits[0]) + middle for method in block.methods], map(method_name, block.methods)
    )
    digits = max(len(text) for _, text in lines)
    axis.tick_params(axis="y", which="minor", pad=2, labelsize=5)
    axis.tick_params(axis="y", which="major", pad=5 + 3.2 * digits)


def _handles() -> list[Line2D]:
    grey = "#4D4D4D"
    return [
        Line2D(
            [], [], color=grey, marker="o", markersize=3.6, linewidth=0.8, label="after as many edits as on the left"
        ),
        Line2D([], [], color=grey, label="the same records, each right after its own step", **_IMMEDIATE),
    ]
