"""Editing against locality: success, generality and portability in one, against what an edit leaves alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from baft.config import StatisticsConfig
from baft.config.products import FigureProduct
from baft.report.cells import read_cells
from baft.report.inputs import Inputs
from baft.report.tradeoff_panels import draw_tradeoff

PRODUCT = FigureProduct(cells="curves", category="Trade-off", label="editing against locality", place=200)


def write(inputs: Inputs, stem: Path) -> list[Path]:
    """Draw the figure at ``stem`` with the suffixes of figures; return the paths."""
    return plot_editing(inputs.files, stem, inputs.statistics)


def plot_editing(records: Sequence[Path], out: Path, statistics: StatisticsConfig) -> list[Path]:
    """Draw ``out``.pdf and .png, and write what they show to ``out``.csv; return the three paths. See
    :func:`~baft.report.tradeoff_panels.draw_tradeoff`."""
    return draw_tradeoff(read_cells(records), out, statistics, "editing", with_areas=False)
