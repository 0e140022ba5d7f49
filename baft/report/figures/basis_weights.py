"""How open the bases of edits are for each kind of input, and how far that tells the kinds apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.lines import Line2D

from baft.analysis.weights import APART, RELEVANT, separation, sorted_weights
from baft.config import StatisticsConfig
from baft.config.products import FigureProduct
from baft.report import style
from baft.report.bases import read_bases
from baft.report.cells import rows_of
from baft.report.inputs import Inputs
from baft.report.panels import LINES, NAMES, Panel, panels
from baft.report.rendering import HOLE
from baft.results.statistics import mean_interval

PRODUCT = FigureProduct(cells="bases", weighed=True, category="Analysis", label="weights of bases", place=250)

_PANEL = ["model", "benchmark", "method"]


def write(inputs: Inputs, stem: Path) -> list[Path]:
    """Draw the figure at ``stem`` with the suffixes of figures; return the paths."""
    return plot_basis_weights(inputs.files, stem, inputs.statistics)


def plot_basis_weights(bases: Sequence[Path], out: Path, statistics: StatisticsConfig) -> list[Path]:
    """Draw ``out``.pdf and .png, and write what they show to ``out``.csv; return the three paths.

    A column a benchmark, three rows a method whose weights depend on the input, below what they are. First the sorted
    weights of each kind of input, means over records with intervals. Then how far each kind of relevant input is from
    irrelevant ones (filled) and general ones (hollow), within each record, mean over records with interval: how much larger
    its mean weight is, and the area under the ROC curve, a dash where the weights of no record vary.
    """
    found = read_bases(bases).varying()
    frame = weights_frame(found.rows, statistics)
    with panels(frame, [1.35, 0.62, 0.62], _handles(), methods=found.titles()) as (figure, drawn):
        for panel in drawn:
            _DRAW[panel.row](panel, panel.of(frame))
        return style.save(figure, frame, out)


def weights_frame(bases: pd.DataFrame, statistics: StatisticsConfig) -> pd.DataFrame:
    """Means over records with intervals, tidy: ``quantity`` is weight (by ``kind`` and ``place``), difference or auc (by
    ``kind`` and ``apart``). An auc is over the records whose weights vary, and NaN without any."""
    weights = _estimated(sorted_weights(bases), "weight", ["kind", "place"], statistics, (0.0, 1.0))
    apart = separation(bases)
    differences = _estimated(apart, "difference", ["kind", "apart"], statistics, (-1.0, 1.0))
    areas = _estimated(apart, "auc", ["kind", "apart"], statistics, (0.0, 1.0))
    columns = [*_PANEL, "quantity", "kind", "place", "apart", "mean", "low", "high", "records"]
    frame: pd.DataFrame = pd.concat([weights, differences, areas], ignore_index=True).reindex(columns=columns)
    return frame


def _estimated(
    table: pd.DataFrame, quantity: str, by: list[str], statistics: StatisticsConfig, ends: tuple[float, float]
) -> pd.DataFrame:
    rows = []
    for keys, group in table.groupby([*_PANEL, *by]):
        there = group[group[quantity].notna()]
        estimate = {"mean": math.nan, "low": math.nan, "high": math.nan, "records": 0}
        if len(there):
            units = there["record_id"].to_numpy(str)
            found = mean_interval(there[quantity].to_numpy(), units, ends, level=statistics.level)
            estimate = {"mean": found.mean, "low": found.low, "high": found.high, "records": found.records}
        rows.append({**dict(zip([*_PANEL, *by], keys, strict=True)), "quantity": quantity, **estimate})
    return pd.DataFrame(rows)


def _draw_weights(panel: Panel, shown: pd.DataFrame) -> None:
    axis = panel.axis
    weights = shown[shown["quantity"].eq("weight")]
    for number, (kind, look) in enumerate(LINES.items()):
        rows = weights[weights["kind"].eq(kind)].sort_values("place")
        # Beside each other, for kinds often have the same weights.
        x = rows["place"] + 0.13 * (number - (len(LINES) - 1) / 2)
        axis.fill_between(x, rows["low"], rows["high"], color=look["color"], alpha=0.16, linewidth=0)
        axis.plot(x, rows["mean"], markersize=2.2, linewidth=1.0, **look)
    rank = int(weights["place"].max()) if len(weights) else 1
    axis.set(xlim=(0.5, rank + 0.5), ylim=(-0.03, 1.03), yticks=(0, 0.5, 1))
    axis.set_xticks(sorted({1, *range(4, rank + 1, 4)}))
    axis.set_xlabel("basis, sorted")
    if panel.first:
        axis.set_ylabel("weight")


def _draw_difference(panel: Panel, shown: pd.DataFrame) -> None:
    _draw_apart(panel, shown[shown["quantity"].eq("difference")], 0.0)
    panel.axis.set(xlim=(-1.06, 1.06), xticks=(-1, 0, 1), xlabel="mean weight, difference")


def _draw_auc(panel: Panel, shown: pd.DataFrame) -> None:
    _draw_apart(panel, shown[shown["quantity"].eq("auc")], 0.5)
    panel.axis.set(xlim=(-0.03, 1.03), xticks=(0, 0.5, 1), xlabel="AUC")


_DRAW = (_draw_weights, _draw_difference, _draw_auc)


def _draw_apart(panel: Panel, shown: pd.DataFrame, nothing: float) -> None:
    """A line a kind of relevant input; at ``nothing`` it is not told apart."""
    axis = panel.axis
    axis.axvline(nothing, color="#9A9A9A", linewidth=0.8, zorder=1)
    for row in rows_of(shown):
        place = RELEVANT.index(row.kind) + (-0.2, 0.2)[APART.index(row.apart)]
        colour = LINES[row.kind]["color"]
        if math.isnan(row.mean):
            axis.text(nothing, place, HOLE, ha="center", va="center", fontsize=6)
            continue
        axis.plot([row.low, row.high], [place, place], color=colour, linewidth=1.0, solid_capstyle="butt")
        face = colour if row.apart == APART[0] else "white"
        axis.plot(row.mean, place, color=colour, markerfacecolor=face, **_point(row.kind), clip_on=False)
    axis.set_ylim(len(RELEVANT) - 0.5, -0.5)
    axis.set_yticks(range(len(RELEVANT)), [NAMES[kind] for kind in RELEVANT])
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0, labelleft=panel.first)


def _point(kind: str) -> dict[str, Any]:
    return {"marker": LINES[kind]["marker"], "markersize": 3.6, "markeredgewidth": 0.8, "linestyle": ""}


def _handles() -> list[Line2D]:
    grey: dict[str, Any] = {"color": "#4D4D4D", **_point("editing")}
    lines = [Line2D([], [], markersize=2.6, linewidth=1.0, label=NAMES[kind], **look) for kind, look in LINES.items()]
    return [
        *lines,
        Line2D([], [], label="against irrelevant", **grey),
        Line2D([], [], label="against general", markerfacecolor="white", **grey),
    ]
