"""How open BaFT's bases are for each kind of input, and whether that tells the kinds apart."""

from __future__ import annotations

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
from baft.results.statistics import mean_interval

PRODUCT = FigureProduct(cells="bases", methods=("baft",), category="Analysis", label="basis weights of BaFT", place=250)

_PANEL = ["model", "benchmark"]


def write(inputs: Inputs, stem: Path) -> list[Path]:
    """Draw the figure at ``stem`` with the suffixes of figures; return the paths."""
    return plot_basis_weights(inputs.files, stem, inputs.statistics)


def plot_basis_weights(bases: Sequence[Path], out: Path, statistics: StatisticsConfig) -> list[Path]:
    """Draw ``out``.pdf and .png, and write what they show to ``out``.csv; return the three paths.

    A column a benchmark. Above, the sorted weights of each kind of input, means over records with intervals. Below, how well
    the mean weight tells each kind of relevant input from irrelevant ones (filled) and general ones (hollow): the area
    under the ROC curve within each record, mean over records with interval.
    """
    frame = weights_frame(read_bases(bases, "baft"), statistics)
    with panels(frame, [1.35, 0.62], _handles()) as (figure, drawn):
        for panel in drawn:
            (_draw_weights, _draw_auc)[panel.row](panel, panel.of(frame))
        return style.save(figure, frame, out)


def weights_frame(bases: pd.DataFrame, statistics: StatisticsConfig) -> pd.DataFrame:
    """Means over records with intervals, tidy: ``quantity`` is weight (by ``kind`` and ``place``) or auc (and ``apart``)."""
    weights = _estimated(sorted_weights(bases), "weight", ["kind", "place"], statistics)
    areas = _estimated(separation(bases), "auc", ["kind", "apart"], statistics)
    columns = [*_PANEL, "quantity", "kind", "place", "apart", "mean", "low", "high", "records"]
    frame: pd.DataFrame = pd.concat([weights, areas], ignore_index=True).reindex(columns=columns)
    return frame


def _estimated(table: pd.DataFrame, quantity: str, by: list[str], statistics: StatisticsConfig) -> pd.DataFrame:
    rows = []
    for keys, group in table.groupby([*_PANEL, *by]):
        found = mean_interval(
            group[quantity].to_numpy(), group["record_id"].to_numpy(str), (0.0, 1.0), level=statistics.level
        )
        estimate = {"mean": found.mean, "low": found.low, "high": found.high, "records": found.records}
        rows.append({**dict(zip([*_PANEL, *by], keys, strict=True)), "quantity": quantity, **estimate})
    return pd.DataFrame(rows)


def _draw_weights(panel: Panel, shown: pd.DataFrame) -> None:
    axis = panel.axis
    weights = shown[shown["quantity"].eq("weight")]
    for kind, look in LINES.items():
        rows = weights[weights["kind"].eq(kind)].sort_values("place")
        axis.fill_between(rows["place"], rows["low"], rows["high"], color=look["color"], alpha=0.16, linewidth=0)
        axis.plot(rows["place"], rows["mean"], markersize=2.2, linewidth=1.0, **look)
    rank = int(weights["place"].max())
    axis.set(xlim=(0.5, rank + 0.5), ylim=(-0.03, 1.03), yticks=(0, 0.5, 1))
    axis.set_xticks(sorted({1, *range(4, rank + 1, 4)}))
    axis.set_xlabel("basis, sorted")
    if panel.first:
        axis.set_ylabel("weight")


def _draw_auc(panel: Panel, shown: pd.DataFrame) -> None:
    axis = panel.axis
    axis.axvline(0.5, color="#9A9A9A", linewidth=0.8, zorder=1)
    for row in rows_of(shown[shown["quantity"].eq("auc")]):
        place = RELEVANT.index(row.kind) + (-0.17, 0.17)[APART.index(row.apart)]
        colour = LINES[row.kind]["color"]
        axis.plot([row.low, row.high], [place, place], color=colour, linewidth=1.0, solid_capstyle="butt")
        face = colour if row.apart == APART[0] else "white"
        axis.plot(row.mean, place, color=colour, markerfacecolor=face, **_point(row.kind), clip_on=False)
    axis.set(xlim=(-0.03, 1.03), xticks=(0, 0.5, 1), ylim=(len(RELEVANT) - 0.5, -0.5))
    axis.set_yticks(range(len(RELEVANT)), [NAMES[kind] for kind in RELEVANT])
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0, labelleft=panel.first)
    axis.set_xlabel("AUC")


def _point(kind: str) -> dict[str, Any]:
    return {"marker": LINES[kind]["marker"], "markersize": 3.6, "markeredgewidth": 0.8, "linestyle": ""}


def _handles() -> list[Line2D]:
    grey: dict[str, Any] = {"color": "#4D4D4D", **_point("editing")}
    lines = [Line2D([], [], markersize=2.6, linewidth=1.0, label=NAMES[kind], **look) for kind, look in LINES.items()]
    return [
        *lines,
        Line2D([], [], label="AUC against irrelevant", **grey),
        Line2D([], [], label="AUC against general", markerfacecolor="white", **grey),
    ]
