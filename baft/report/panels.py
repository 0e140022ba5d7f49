"""Panels of the analysis figures: a column a benchmark, one or more rows a model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from baft.report import style
from baft.report.labels import ordered_benchmarks

_COLUMNS = 5

# Of what is asked of an edit: what it should change in warm colours, what it should leave alone in blue.
LINES: dict[str, dict[str, Any]] = {
    "editing": {"color": "#D55E00", "linestyle": "-", "marker": "o"},
    "rephrasing": {"color": "#E69F00", "linestyle": (0, (4, 1.2)), "marker": "^"},
    "portability": {"color": "#CC79A7", "linestyle": (0, (1.2, 1.2)), "marker": "D"},
    "irrelevant": {"color": "#0072B2", "linestyle": (0, (5, 1.5, 1, 1.5)), "marker": "s"},
    "general": {"color": "#56B4E9", "linestyle": (0, (2.5, 1)), "marker": "v"},
}
NAMES = {
    "editing": "editing prompt",
    "rephrasing": "rephrasings",
    "portability": "portability",
    "irrelevant": "irrelevant",
    "general": "general",
}


@dataclass(frozen=True)
class Panel:
    """Axes of one model and benchmark; ``row`` counts the rows of a model, ``first`` is the leftmost of its row."""

    axis: Axes
    model: str
    benchmark: str
    row: int
    first: bool

    def of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of ``frame`` that belong here."""
        return frame[frame["model"].eq(self.model) & frame["benchmark"].eq(self.benchmark)]


@contextmanager
def panels(
    frame: pd.DataFrame, heights: Sequence[float], handles: Sequence[Line2D], share: bool = True
) -> Iterator[tuple[Figure, list[Panel]]]:
    """A figure with a panel for each model and benchmark of ``frame`` and each of ``heights`` (inches).

    At most five panels stand side by side, with a legend of ``handles`` below them all. Rows share their vertical axis
    unless ``share`` is False.
    """
    blocks = []
    for model in sorted(frame["model"].unique()):
        names = ordered_benchmarks(frame.loc[frame["model"].eq(model), "benchmark"])
        blocks += [(model, names[start : start + _COLUMNS]) for start in range(0, len(names), _COLUMNS)]
    columns = max(len(names) for _, names in blocks)
    several = frame["model"].nunique() > 1
    width = style.COLUMN if columns == 1 else style.PAGE
    entries = 2 if columns == 1 else 4
    legend = 0.15 + 0.16 * math.ceil(len(handles) / entries)
    with style.drawing(width, len(blocks) * (sum(heights) + 0.3 + 0.2 * several) + legend) as figure:
        found = []
        parts = figure.subfigures(len(blocks), 1, squeeze=False)[:, 0]
        for part, (model, names) in zip(parts, blocks, strict=True):
            if several:
                part.suptitle(model, x=0.02, ha="left", fontsize=8, fontweight="bold")
            grid = part.subplots(
                len(heights), columns, squeeze=False, sharey="row" if share else "none", height_ratios=heights
            )
            style.name_panels(grid[0][: len(names)], names)
            for row, line in enumerate(grid):
                for axis in line[len(names) :]:
                    axis.set_axis_off()
                found += [
                    Panel(axis, model, name, row, axis is line[0]) for axis, name in zip(line, names, strict=False)
                ]
        figure.legend(
            handles=handles, loc="outside lower center", ncols=min(entries, len(handles)), frameon=False, fontsize=7
        )
        yield figure, found
