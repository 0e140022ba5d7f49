"""How many of an edit's dimensions hardly move what is put in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from baft.analysis.redundancy import redundancy_frame
from baft.config.products import FigureProduct
from baft.report import style
from baft.report.bases import read_bases
from baft.report.cells import rows_of
from baft.report.inputs import Inputs
from baft.report.labels import method_name
from baft.report.panels import LINES, NAMES, Panel, panels

PRODUCT = FigureProduct(cells="bases", category="Analysis", label="redundant dimensions", place=240)

_INPUTS = ("editing", "irrelevant")
_CHANCE: dict[str, Any] = {"color": "#6A6A6A", "linewidth": 0.9, "linestyle": (0, (1, 1))}


def write(inputs: Inputs, stem: Path) -> list[Path]:
    """Draw the figure at ``stem`` with the suffixes of figures; return the paths."""
    return plot_redundant_dimensions(inputs.files, stem)


def plot_redundant_dimensions(bases: Sequence[Path], out: Path) -> list[Path]:
    """Draw ``out``.pdf and .png, and write what they show to ``out``.csv; return the three paths.

    A panel a model, method and benchmark: redundant dimensions of edits against the factor M, for the editing prompts and
    for irrelevant inputs, means over records with bands from the least to the most of any input, and what chance gives.
    """
    found = read_bases(bases)
    frame = redundancy_frame(found.rows)
    names = {method: method_name(method) for method in found.methods}
    with panels(frame, [1.35], _handles(), methods=names) as (figure, drawn):
        for panel in drawn:
            _draw(panel, panel.of(frame))
        return style.save(figure, frame, out)


def _draw(panel: Panel, shown: pd.DataFrame) -> None:
    axis = panel.axis
    if shown.empty:
        axis.set_axis_off()
        return
    rank = int(shown["rank"].max())
    for inputs in _INPUTS:
        rows = shown[shown["inputs"].eq(inputs)].sort_values("factor")
        look = LINES[inputs]
        axis.fill_between(rows["factor"], rows["low"], rows["high"], color=look["color"], alpha=0.16, linewidth=0)
        axis.plot(rows["factor"], rows["mean"], markersize=3, linewidth=1.1, **look)
    chance = shown.drop_duplicates("factor").sort_values("factor")
    axis.plot(chance["factor"], chance["chance"], **_CHANCE)
    axis.set(xscale="log", xlim=(1.8, 112), ylim=(-0.3, rank + 0.3))
    axis.xaxis.set_major_locator(FixedLocator([row.factor for row in rows_of(chance)]))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.xaxis.set_major_formatter("{x:.0f}")
    axis.set_yticks(range(0, rank + 1, max(1, rank // 4)))
    axis.set_xlabel("factor M")
    if panel.first:
        axis.set_ylabel(f"redundant of {rank}")


def _handles() -> list[Line2D]:
    lines = [Line2D([], [], markersize=3, linewidth=1.1, label=NAMES[name], **LINES[name]) for name in _INPUTS]
    return [*lines, Line2D([], [], label="independent normal numbers", **_CHANCE)]
