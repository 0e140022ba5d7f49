"""The searches for settings: the best objective so far over the trials, and the Pareto set of each method."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from baft.config.products import FigureProduct
from baft.report import style
from baft.report.inputs import Inputs
from baft.report.labels import ordered_methods
from baft.report.trials import trials_frame

PRODUCT = FigureProduct(cells="tuning", category="Tuning", label="tuning: objective and Pareto sets", place=235)

_SHOWN = [
    "model",
    "method",
    "trial",
    "state",
    "objective",
    "so_far",
    "editing",
    "locality",
    "pareto",
    "searched",
    "error",
]


def write(inputs: Inputs, stem: Path) -> list[Path]:
    """Draw the figure at ``stem`` with the suffixes of figures; return the paths.

    A row a model. To the left the objective over the trials, per cent: a line for the best so far of a method, a faint dot
    for each trial. To the right the Pareto set of each method, locality to the right and editing upwards, its start hollow.
    """
    frame = trials_frame(inputs.files)
    models = list(dict.fromkeys(frame["model"]))
    given = style.marks(frame["method"], dict(zip(frame["method"], frame["name"], strict=True)))
    rows = -(-len(given) // 6)
    with style.drawing(style.PAGE, 2.6 * len(models) + 0.3 + 0.16 * rows) as figure:
        grid = figure.subplots(len(models), 2, squeeze=False)
        for (left, right), model in zip(grid, models, strict=True):
            own = frame[frame["model"].eq(model)]
            _draw_objectives(left, own, given)
            _draw_sets(right, own, given)
            if len(models) > 1:
                left.set_title(str(model), loc="left")
        grid[-1][0].set_xlabel("trial")
        grid[-1][1].set_xlabel("locality (%) →")
        start = Line2D(
            [], [], color="#4D4D4D", marker="o", markersize=4, linestyle="", markerfacecolor="white", label="start"
        )
        figure.legend(handles=[*style.legend_handles(given), start], loc="outside lower center", ncols=6, frameon=False)
        return style.save(figure, frame[_SHOWN], stem)


def _draw_objectives(axis: Axes, own: pd.DataFrame, given: dict[str, style.Mark]) -> None:
    for method in ordered_methods(own["method"]):
        rows, mark = own[own["method"].eq(method)], given[method]
        axis.plot(rows["trial"], 100 * rows["objective"], color=mark.colour, alpha=0.3, linestyle="",
                  marker=mark.marker, markersize=2.5, markeredgewidth=0)  # fmt: skip
        axis.step(rows["trial"], 100 * rows["so_far"], color=mark.colour, where="post", linewidth=1.0)
        last = rows.iloc[-1]
        axis.plot(last["trial"], 100 * last["so_far"], color=mark.colour, marker=mark.marker,
                  markersize=style.marker_size(mark))  # fmt: skip
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_ylabel("objective (%) →")


def _draw_sets(axis: Axes, own: pd.DataFrame, given: dict[str, style.Mark]) -> None:
    for method in ordered_methods(own["method"]):
        rows, mark = own[own["method"].eq(method)], given[method]
        front = rows[rows["pareto"].eq(True)].sort_values("locality")
        axis.plot(100 * front["locality"], 100 * front["editing"], color=mark.colour, linewidth=0.8,
                  marker=mark.marker, markersize=style.marker_size(mark))  # fmt: skip
        start = rows[rows["trial"].eq(0)]
        axis.plot(100 * start["locality"], 100 * start["editing"], color=mark.colour, linestyle="", marker=mark.marker,
                  markersize=style.marker_size(mark), markerfacecolor="white")  # fmt: skip
    axis.set_ylabel("editing (%) →")
