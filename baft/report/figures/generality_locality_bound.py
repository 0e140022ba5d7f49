"""What edits do to irrelevant inputs, against what generality forces an affine edit to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from baft.analysis.bound import bound_frame
from baft.config.products import FigureProduct
from baft.report import style
from baft.report.bases import read_bases
from baft.report.inputs import Inputs
from baft.report.labels import method_name
from baft.report.panels import Panel, panels

PRODUCT = FigureProduct(cells="bases", category="Analysis", label="generality-locality bound", place=270)

# Inches that a line of text takes.
_LINE = 0.11
_BOUNDS = {"bound_along": "bound, along h − h₀", "bound": "bound, worst case"}


def write(inputs: Inputs, stem: Path) -> list[Path]:
    """Draw the figure at ``stem`` with the suffixes of figures; return the paths."""
    return plot_generality_locality_bound(inputs.files, stem)


def plot_generality_locality_bound(bases: Sequence[Path], out: Path) -> list[Path]:
    """Draw ``out``.pdf and .png, and write what they show to ``out``.csv; return the three paths.

    A column a benchmark, a point an irrelevant input of an edit: its displacement against the bound, both as shares of its
    length. Above the bound along its own direction, below the worst case's. Written into a panel: the share of each
    method's points below the line, those with a negative bound counted too.
    """
    found = read_bases(bases)
    frame, methods = bound_frame(found.rows), found.methods
    with panels(frame, [1.2 + _LINE * (1 + len(methods))] * 2, _handles(methods), share=False) as (figure, drawn):
        for panel in drawn:
            _draw(panel, panel.of(frame), methods)
        return style.save(figure, frame, out)


def _draw(panel: Panel, shown: pd.DataFrame, methods: Sequence[str]) -> None:
    axis, name = panel.axis, list(_BOUNDS)[panel.row]
    given = style.marks(methods)
    x, y = shown[name] / shown["size"], shown["displacement"] / shown["size"]
    reach = 1.08 * max(float(x.max()), 0.5 * float(y.max()))
    left = min(1.08 * float(x.min()), -0.05 * reach)
    axis.axvspan(left, 0, color="#EFEFEF", linewidth=0, zorder=0)
    axis.plot([0, reach], [0, reach], color="#4D4D4D", linewidth=0.8, zorder=2)
    for method in reversed(methods):
        for kind, filled in (("general", False), ("irrelevant", True)):
            chosen = shown["method"].eq(method) & shown["kind"].eq(kind)
            axis.plot(x[chosen], y[chosen], **_point(given[method], filled))
    top = float(y.max()) or 1.0
    # Room above the points for the shares, about an inch being the points'.
    axis.set(xlim=(left, reach), ylim=(-0.04 * top, (1.08 + 1.3 * _LINE * (1 + len(methods))) * top))
    for locator in (axis.xaxis, axis.yaxis):
        locator.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
    _write(axis, 0, "inputs below the line:", "#4D4D4D")
    for place, method in enumerate((method for method in methods if shown["method"].eq(method).any()), start=1):
        own = shown[shown["method"].eq(method)]
        below = float((own["displacement"] < own[name]).mean())
        _write(axis, place, f"{method_name(method)} {100 * below:.0f} %", given[method].colour)
    axis.set_xlabel(_BOUNDS[name])
    if panel.first:
        axis.set_ylabel("displacement")


def _write(axis: Axes, line: int, text: str, colour: str) -> None:
    """Text in a line from the top of the axes, left."""
    where: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top", "fontsize": 6}
    axis.annotate(text, (0, 1), (2, -72 * _LINE * line), color=colour, **where)


def _point(mark: style.Mark, filled: bool) -> dict[str, Any]:
    return {
        "color": mark.colour,
        "marker": mark.marker,
        "markersize": 2.6,
        "linestyle": "",
        "markerfacecolor": mark.colour if filled else "none",
        "markeredgewidth": 0.5,
        "alpha": 0.8,
        "zorder": 3,
    }


def _handles(methods: Sequence[str]) -> list[Line2D]:
    given = style.marks(methods)
    return [
        Line2D([], [], label=f"{method_name(method)}, {kind}", **_point(given[method], kind == "irrelevant"))
        for method in methods
        for kind in ("irrelevant", "general")
    ]
