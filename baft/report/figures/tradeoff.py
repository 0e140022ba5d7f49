"""Edit success against locality: the figure that a method cannot look good in by giving up one of the two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from baft.config import StatisticsConfig
from baft.config.products import FigureProduct
from baft.report.cells import read_cells
from baft.report.inputs import Inputs
from baft.report.tradeoff_panels import draw_tradeoff

PRODUCT = FigureProduct(cells="curves", category="Trade-off", label="edit success against locality", place=201)


def write(inputs: Inputs, stem: Path) -> list[Path]:
    """Draw the figure at ``stem`` with the suffixes of figures; return the paths."""
    return plot_tradeoff(inputs.files, stem, inputs.statistics)


def plot_tradeoff(records: Sequence[Path], out: Path, statistics: StatisticsConfig) -> list[Path]:
    """Draw ``out``.pdf and .png, and write what they show to ``out``.csv; return the three paths. See
    :func:`~baft.report.tradeoff_panels.draw_tradeoff`."""
    return draw_tradeoff(read_cells(records), out, statistics, "success", with_areas=True)
