"""What the parts of a method are worth: it and variants of it, and how far they are from it on the same records."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from baft.config import StatisticsConfig
from baft.config.products import TableProduct
from baft.report import estimates
from baft.report.cells import Cells, read_cells, rows_of, settings_of
from baft.report.estimates import CELL
from baft.report.inputs import Inputs
from baft.report.labels import HEADS, method_name, ordered_benchmarks
from baft.report.notes import interval_note, record_notes, significance_mark, significance_notes, unit_notes
from baft.report.rendering import HOLE, Table, percent
from baft.report.writing import write_table
from baft.results.schema import ALL_GROUPS

PRODUCT = TableProduct(cells="ablations", label="ablations", place=40)


def write(inputs: Inputs, stem: Path) -> list[Path]:
    """Write the table at ``stem`` with the suffixes of tables; return the paths."""
    return tabulate_ablations(inputs.files, inputs.methods, stem, inputs.statistics)


def ablation_frame(cells: Cells, method: str, statistics: StatisticsConfig) -> pd.DataFrame:
    """Teacher-forced means with interval, and the paired difference of each variant from ``method`` with its own.

    One row a model, protocol, method, benchmark and metric. ``changed`` are the settings in which a variant differs, as
    they were run. ``p`` and ``p_holm`` are those of :func:`~baft.report.estimates.differences`, corrected across the
    variants and benchmarks of a metric; a row of ``method`` itself has no difference.
    """
    metrics = tuple(HEADS)
    means = estimates.means(cells, level=statistics.level, metrics=metrics, groups=[ALL_GROUPS])
    paired = estimates.differences(cells, method, level=statistics.level, metrics=metrics)
    apart = {"mean": "difference", "low": "difference_low", "high": "difference_high"}
    paired = paired.rename(columns=apart)[[*CELL, "metric", *apart.values(), "p", "p_holm"]]
    changed = _changed(cells, method)
    frame = means.merge(paired, how="left", on=[*CELL, "metric"]).merge(changed, on=["model", "method"])
    columns = [*CELL, "changed", "metric", "mean", "low", "high", *apart.values(), "p", "p_holm", "records", "units"]
    columns.append("unmeasured")
    return frame[columns]


def _changed(cells: Cells, method: str) -> pd.DataFrame:
    """A row a model and method: the settings in which it differs from ``method``, as text."""
    facts = cells.facts.drop_duplicates(["model", "method"])
    settings = {(row.model, row.method): row.conditions.method for row in rows_of(facts)}
    rows = [
        {"model": model, "method": label, "changed": _differing(own, settings.get((model, method), own))}
        for (model, label), own in settings.items()
    ]
    return pd.DataFrame(rows)


def _differing(own: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in sorted(own.items()) if other.get(key) != value)


def tabulate_ablations(
    records: Sequence[Path], methods: Sequence[str], out: Path, statistics: StatisticsConfig
) -> list[Path]:
    """Write the table of ``methods``, of which the first is ablated, to ``out`` with the suffixes of tables.

    Returns the paths. Raises :class:`~baft.errors.UserError` if the cells do not belong into one table.
    """
    cells = read_cells(records)
    frame = ablation_frame(cells, methods[0], statistics)
    tables = []
    for model, protocol, setting in settings_of(frame):
        shown = {metric: head for metric, head in HEADS.items() if setting["metric"].eq(metric).any()}
        blocks = [
            (benchmark, _rows(setting[setting["benchmark"].eq(benchmark)], methods, list(shown), statistics.level))
            for benchmark in ordered_benchmarks(setting["benchmark"])
        ]
        heads = ["Changed", *(text for head in shown.values() for text in (head, "\N{GREEK CAPITAL LETTER DELTA}"))]
        name = method_name(methods[0])
        notes = [
            f"Per cent, and percentage points from {name} on the same records. {interval_note(statistics.level)}",
            *significance_notes(setting[setting["method"].ne(methods[0])], statistics.level),
            *unit_notes(setting),
            *record_notes(cells.one(model, protocol)),
        ]
        tables.append(Table(f"{model}, {protocol} editing: {name} and variants of it", heads, blocks, notes))
    return write_table(out, frame, tables)


def _rows(block: pd.DataFrame, methods: Sequence[str], metrics: Sequence[str], level: float) -> list[list[str]]:
    found = {(row.method, row.metric): row for row in rows_of(block)}
    there = [method for method in methods if block["method"].eq(method).any()]
    names = {row.method: row.changed or method_name(row.method) for row in rows_of(block)}
    cell = functools.partial(_cell, level=level)
    return [
        [names[method], *(text for metric in metrics for text in cell(found.get((method, metric))))] for method in there
    ]


def _cell(row: Any, level: float) -> tuple[str, str]:
    """The mean and the difference."""
    if row is None:
        return HOLE, HOLE
    mean, apart = percent(row.mean, row.low, row.high), HOLE
    if not math.isnan(row.difference):
        apart = percent(row.difference, row.difference_low, row.difference_high, signed=True)
        apart += significance_mark(row.p_holm, level)
    return mean, apart
