"""Panels of the analysis figures: a column a benchmark, one or more rows a model and method."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
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


_TOGETHER: Mapping[str, str] = {"": ""}


@dataclass(frozen=True)
class Panel:
    """Axes of one model, benchmark and method, or of all methods where that is empty.

    ``row`` counts the rows of a block, ``first`` is the leftmost of its row."""

    axis: Axes
    model: str
    benchmark: str
    method: str
    row: int
    first: bool

    def of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of ``frame`` that belong here."""
        own = frame["model"].eq(self.model) & frame["benchmark"].eq(self.benchmark)
        return frame[own & frame["method"].eq(self.method) if self.method else own]


@contextmanager
def panels(
    frame: pd.DataFrame,
    heights: Sequence[float],
    handles: Sequence[Line2D],
    share: bool = True,
    methods: Mapping[str, str] = _TOGETHER,
) -> Iterator[tuple[Figure, list[Panel]]]:
    """A figure with a panel for each model and benchmark of ``frame`` and each of ``heights`` (inches).

    ``methods`` have panels of their own, each below the title that it is given; unless they are named, all share one. At
    most five panels stand side by side, with a legend of ``handles`` below them all. Rows share their vertical axis unless
    ``share`` is False.
    """
    blocks = []
    for model in sorted(frame["model"].unique()):
        names = ordered_benchmarks(frame.loc[frame["model"].eq(model), "benchmark"])
        starts = range(0, len(names), _COLUMNS)
        blocks += [(model, method, names[start : start + _COLUMNS]) for method in methods for start in starts]
    columns = max(len(names) for _, _, names in blocks)
    several = frame["model"].nunique() > 1
    width = style.COLUMN if columns == 1 else style.PAGE
    entries = 2 if columns == 1 else 4
    legend = 0.15 + 0.16 * math.ceil(len(handles) / entries)
    titles = [
        title_lines(", ".join(filter(None, (model if several else "", methods[method]))), width)
        for model, method, _ in blocks
    ]
    room = [sum(heights) + 0.3 + 0.15 * len(title) for title in titles]
    with style.drawing(width, sum(room) + legend) as figure:
        found = []
        parts = figure.subfigures(len(blocks), 1, squeeze=False, height_ratios=room)[:, 0]
        for part, title, (model, method, names) in zip(parts, titles, blocks, strict=True):
            if title:
                part.suptitle("\n".join(title), x=0.02, ha="left", fontsize=7.5, fontweight="bold")
            grid = part.subplots(
                len(heights), columns, squeeze=False, sharey="row" if share else "none", height_ratios=heights
            )
            style.name_panels(grid[0][: len(names)], names)
            for row, line in enumerate(grid):
                for axis in line[len(names) :]:
                    axis.set_axis_off()
                found += [
                    Panel(axis, model, name, method, row, axis is line[0])
                    for axis, name in zip(line, names, strict=False)
                ]
        figure.legend(
            handles=handles, loc="outside lower center", ncols=min(entries, len(handles)), frameon=False, fontsize=7
        )
        yield figure, found


def title_lines(text: str, width: float) -> list[str]:
    """The lines of a title above a block that is so many inches wide."""
    return textwrap.wrap(text, int(15 * width))
