"""The table of the areas that trade-off curves dominate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from baft.config import StatisticsConfig
from baft.config.products import TableProduct
from baft.report.cells import NO_ORIGINS, Cells, Origins, read_cells, rows_of, settings_of
from baft.report.inputs import Inputs
from baft.report.labels import method_name, ordered_benchmarks, ordered_methods
from baft.report.notes import record_notes, unit_notes, unmeasured_notes
from baft.report.rendering import HOLE, Table, percent
from baft.report.tradeoff import VARIANTS, areas_frame
from baft.report.writing import write_table

PRODUCT = TableProduct(cells="curves", label="area under the trade-off", place=20)


def write(inputs: Inputs, stem: Path) -> list[Path]:
    """Write the table at ``stem`` with the suffixes of tables; return the paths."""
    return tabulate_area(inputs.files, stem, inputs.statistics, inputs.origins)


def tabulate_area(
    records: Sequence[Path], out: Path, statistics: StatisticsConfig, origins: Origins = NO_ORIGINS
) -> list[Path]:
    """Write the table of dominated areas to ``out`` as CSV, Markdown and LaTeX; return the paths."""
    cells = read_cells(records, origins)
    areas = areas_frame(cells, statistics)
    return write_table(out, areas, area_tables(areas, cells, statistics))


def area_tables(areas: pd.DataFrame, cells: Cells, statistics: StatisticsConfig) -> list[Table]:
    """A table a model and protocol: a block a benchmark, a row a method."""
    made = []
    for model, protocol, setting in settings_of(areas):
        found = {(row.benchmark, row.line, row.variant): row for row in rows_of(setting)}
        blocks = []
        for benchmark in ordered_benchmarks(setting["benchmark"]):
            rows = []
            for line in ordered_methods(setting["line"]):
                both = [found.get((benchmark, line, variant)) for variant in VARIANTS]
                known = next((row for row in both if row is not None), None)
                swept = "" if known is None else _sweep_text(known)
                count = HOLE if known is None else str(known.points)
                areas_shown = [HOLE if row is None else percent(row.area, row.low, row.high) for row in both]
                rows.append([method_name(line), *areas_shown, count, swept])
            blocks.append((benchmark, rows))
        notes = [
            "Area of locality times edit success that a method's points dominate above (0, 0), per cent of the unit "
            f"square, with {statistics.level:.0%} intervals over independent units: Gaffke's for bounded values, with the "
            "same weights for all points. A method with a single point has a rectangle.",
            "Noise and further points enlarge the area: compare methods with as many points on the same records.",
            *unmeasured_notes(setting, "area"),
            *unit_notes(setting.assign(metric="area")),
            *record_notes(cells.one(model, protocol)),
        ]
        heads = ["Method", "Area", "Area, dec.", "Points", "Swept"]
        made.append(Table(f"{model}, {protocol} editing: area under the trade-off", heads, blocks, notes))
    return made


def _sweep_text(row: Any) -> str:
    return f"{row.setting}: {row.values}" if row.setting else ""
