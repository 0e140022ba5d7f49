"""Editing against locality over the records of all benchmarks together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from baft.config import StatisticsConfig
from baft.config.products import FigureProduct
from baft.report import style
from baft.report.cells import read_cells
from baft.report.inputs import Inputs
from baft.report.pooling import NOTHING_POOLED, pooled
from baft.report.tradeoff_panels import draw_tradeoff

PRODUCT = FigureProduct(
    cells="records", category="Trade-off", label="all benchmarks together", place=199, several_benchmarks=True
)


def write(inputs: Inputs, stem: Path) -> list[Path]:
    """Draw the figure at ``stem`` with the suffixes of figures; return the paths."""
    return plot_pooled(inputs.files, stem, inputs.statistics)


def plot_pooled(records: Sequence[Path], out: Path, statistics: StatisticsConfig) -> list[Path]:
    """Draw ``out``.pdf and .png, and write what they show to ``out``.csv; return the three paths. See
    :func:`~baft.report.tradeoff_panels.draw_tradeoff`."""
    cells = pooled(read_cells(records))
    if cells is None:
        return style.save_sentence(NOTHING_POOLED, pd.DataFrame(), out)
    return draw_tradeoff(cells, out, statistics, "editing", with_areas=False)
