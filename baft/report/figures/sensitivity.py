"""A heat map of edit success and locality over the layer and the rank of a method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from baft.config import StatisticsConfig
from baft.config.products import FigureProduct
from baft.report import style
from baft.report.cells import read_cells, settings_of
from baft.report.inputs import Inputs
from baft.report.labels import ordered_benchmarks
from baft.report.rendering import HOLE
from baft.report.sensitivity import MEASURED, sensitivity_frame

PRODUCT = FigureProduct(
    cells="sensitivity", category="Sensitivity", label="success and locality over layer and rank", place=230
)

_COLUMNS = 5
_TITLES = {"edit_success": "success (%)", "locality": "locality (%)"}
_COLOURS = "cividis"


def write(inputs: Inputs, stem: Path) -> list[Path]:
    """Draw the figure at ``stem`` with the suffixes of figures; return the paths."""
    return plot_sensitivity(inputs.files, stem, inputs.statistics)


def plot_sensitivity(records: Sequence[Path], out: Path, statistics: StatisticsConfig) -> list[Path]:
    """Draw ``out``.pdf and .png, and write what they show to ``out``.csv; return the three paths.

    For each model and protocol a column a benchmark, success above locality; layers to the right, ranks upwards. Each
    field is a mean over records, teacher-forced, per cent; the colours of each of the two span its own values.
    """
    frame = sensitivity_frame(read_cells(records), statistics)
    layers, ranks = (sorted(frame[axis].unique()) for axis in ("layer", "rank"))
    blocks = [
        (f"{model}, {protocol}", shown, names[start : start + _COLUMNS])
        for model, protocol, shown in settings_of(frame)
        for names in [ordered_benchmarks(shown["benchmark"])]
        for start in range(0, len(names), _COLUMNS)
    ]
    columns = max(len(names) for _, _, names in blocks)
    width = style.COLUMN if columns <= 2 else style.PAGE
    height = 2 * (0.2 * len(ranks) + 0.35) + 0.55
    with style.drawing(width, height * len(blocks)) as figure:
        parts = figure.subfigures(len(blocks), 1, squeeze=False)[:, 0]
        for part, (name, shown, names) in zip(parts, blocks, strict=True):
            if len(blocks) > 1:
                part.suptitle(name, x=0.02, ha="left", fontsize=8, fontweight="bold")
            grid = part.subplots(len(MEASURED), columns, squeeze=False, sharex=True, sharey=True)
            for line, metric in zip(grid, MEASURED, strict=True):
                values = shown[shown["metric"].eq(metric)]
                limits = _limits(frame[frame["metric"].eq(metric)])
                for axis, benchmark in zip(line, names, strict=False):
                    own = values[values["benchmark"].eq(benchmark)]
                    field = own.pivot(index="rank", columns="layer", values="mean").reindex(index=ranks, columns=layers)
                    image = _map(axis, 100 * field, limits)
                for axis in line[len(names) :]:
                    axis.set_axis_off()
                bar = part.colorbar(image, ax=list(line), fraction=0.03, pad=0.01, label=_TITLES[metric])
                bar.outline.set_visible(False)
                line[0].set_ylabel("rank")
            style.name_panels(grid[0][: len(names)], names)
            grid[-1][(len(names) - 1) // 2].set_xlabel("layer")
        return style.save(figure, frame, out)


def _limits(values: pd.DataFrame) -> tuple[float, float]:
    """Ends of the colours: tens that hold all values, at least 50 apart, so that small differences look small."""
    low, high = 10 * np.floor(10 * values["mean"].min()), 10 * np.ceil(10 * values["mean"].max())
    if np.isnan(low):
        # Nothing of this metric could be measured.
        return 0.0, 100.0
    if high - low < 50:
        low = max(0.0, high - 50)
        high = low + 50
    return float(low), float(high)


def _map(axis: Axes, field: pd.DataFrame, limits: tuple[float, float]) -> AxesImage:
    image = axis.imshow(
        field.to_numpy(float), cmap=_COLOURS, vmin=limits[0], vmax=limits[1], origin="lower", aspect="auto"
    )
    axis.set_xticks(range(field.shape[1]), [f"{layer:g}" for layer in field.columns])
    axis.set_yticks(range(field.shape[0]), [str(rank) for rank in field.index])
    axis.grid(visible=False)
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
    for (row, column), value in np.ndenumerate(field.to_numpy(float)):
        shown = HOLE if np.isnan(value) else f"{value:.0f}"
        # The upper end of the colours is light, the lower dark, and a hole white.
        dark = not np.isnan(value) and value < sum(limits) / 2
        axis.text(column, row, shown, ha="center", va="center", fontsize=6.5, color="white" if dark else "black")
    return image
