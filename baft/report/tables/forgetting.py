"""The table of what streams of edits forget."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from baft.config import StatisticsConfig
from baft.config.products import TableProduct
from baft.report.cells import NO_ORIGINS, Origins, read_cells, rows_of, settings_of
from baft.report.inputs import Inputs
from baft.report.labels import HEADS, UNEDITED, method_name, ordered_benchmarks, ordered_methods
from baft.report.notes import origin_notes, unmeasured_parts
from baft.report.rendering import HOLE, Behind, Table, percent
from baft.report.sequences import forgetting_frame
from baft.report.writing import write_table
from baft.results import statistics
from baft.results.metrics import METRICS
from baft.results.schema import ALL_GROUPS

PRODUCT = TableProduct(cells="sequences", label="what is forgotten", place=30)


def write(inputs: Inputs, stem: Path) -> list[Path]:
    """Write the table at ``stem`` with the suffixes of tables; return the paths."""
    return tabulate_forgetting(inputs.files, stem, inputs.statistics, inputs.origins)


def tabulate_forgetting(
    records: Sequence[Path], out: Path, settings: StatisticsConfig, origins: Origins = NO_ORIGINS
) -> list[Path]:
    """Write the table of what is forgotten to ``out`` with the suffixes of tables; return the paths."""
    cells = read_cells(records, origins)
    frame = forgetting_frame(cells, settings)
    tables = []
    for model, protocol, shown in settings_of(frame):
        found = {(row.benchmark, row.method, row.metric): row for row in rows_of(shown)}
        blocks = []
        for benchmark in ordered_benchmarks(shown["benchmark"]):
            rows = [
                [method_name(method), *(_forgotten(found.get((benchmark, method, metric))) for metric in HEADS)]
                for method in ordered_methods(shown["method"])
                if method != UNEDITED
            ]
            blocks.append((benchmark, rows))
        missing = [
            f"{benchmark}: {part}."
            for benchmark in ordered_benchmarks(shown["benchmark"])
            for part in unmeasured_parts(shown[shown["benchmark"].eq(benchmark)].assign(group=ALL_GROUPS))
        ]
        streams = ", ".join(
            f"{name}: {group['records'].max()} records in {group['streams'].max()} streams"
            for name, group in shown.groupby("benchmark")
        )
        notes = [
            "Points of a hundred: mean score right after a record's own step, less that after its stream's last step, "
            f"with Gaffke's {settings.level:.0%} interval for bounded values over streams. More than 0 is forgotten. "
            f"{streams}. Left out are records whose prompt a later edit of the stream gives another target.",
            *missing,
            *origin_notes(cells.one(model, protocol)),
        ]
        if shown["low"].isna().any():
            notes.append(f"[{HOLE}]: no interval, from fewer than {statistics.LEAST_UNITS} streams.")
        methods = [method for method in ordered_methods(shown["method"]) if method != UNEDITED]
        behind = Behind(model, protocol, methods, ["", *(METRICS[metric].kind for metric in HEADS)])
        tables.append(Table(f"{model}, {protocol}", ["Method", *HEADS.values()], blocks, notes, behind))
    return write_table(out, frame, tables)


def _forgotten(row: Any) -> str:
    if row is None:
        return HOLE
    return percent(row.forgotten, row.low, row.high, signed=True)
