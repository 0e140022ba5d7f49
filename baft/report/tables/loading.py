"""What was read from each benchmark file, and which of its records could not be used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from baft.benchmarks.records import Benchmark
from baft.benchmarks.store import read_benchmark
from baft.benchmarks.subjects import without_subject
from baft.config.products import TableProduct
from baft.report.cells import rows_of
from baft.report.inputs import Inputs
from baft.report.rendering import Table
from baft.report.writing import write_table

PRODUCT = TableProduct(cells="benchmarks", label="benchmarks as read", place=60)

# Records of a benchmark that are named; the load report beside the benchmark has all.
_NAMED = 50


def write(inputs: Inputs, stem: Path) -> list[Path]:
    """Write the table at ``stem`` with the suffixes of tables; return the paths."""
    return tabulate_loading(inputs.files, stem)


def tabulate_loading(benchmarks: Sequence[Path], out: Path) -> list[Path]:
    """Write the table of the prepared ``benchmarks`` to ``out`` as CSV, Markdown and LaTeX; return the paths."""
    read = [read_benchmark(path) for path in benchmarks]
    return write_table(out, loading_frame(read), loading_tables(read))


def loading_frame(benchmarks: Sequence[Benchmark]) -> pd.DataFrame:
    """One row a benchmark: where its records come from, and how many were used, not used, and remarked on."""
    return pd.DataFrame(
        {
            "benchmark": one.name,
            "format": one.format,
            "revision": one.revision,
            "split": one.split,
            "sha256": one.sha256,
            "records": len(one.records),
            "probes": sum(len(record.probes) for record in one.records),
            "rejected": len(one.rejected),
            "remarked": len({remark.id for remark in one.remarks}),
            "without_subject": len(without_subject(one.records)),
        }
        for one in benchmarks
    )


def loading_tables(benchmarks: Sequence[Benchmark]) -> list[Table]:
    """A table of the benchmarks, and one of the records that cannot be used where there are some."""
    rows = [
        [row.benchmark, row.format, row.revision, row.split, row.sha256[:12] or "built in"]
        + [str(count) for count in (row.records, row.probes, row.rejected, row.remarked, row.without_subject)]
        for row in rows_of(loading_frame(benchmarks))
    ]
    heads = ["Benchmark", "Format", "Revision", "Split", "SHA-256", "Records", "Probes", "Unusable", "Remarked"]
    notes = [
        "No subject: records whose subject is not in their prompt. Methods that edit at the subject's tokens fail on "
        "them, which counts as no success."
    ]
    notes += [f"{one.name}: {note}." for one in benchmarks for note in one.notes]
    tables = [Table("Benchmarks as read", [*heads, "No subject"], [("", rows)], notes)]
    if any(one.rejected for one in benchmarks):
        blocks = [(one.name, _unusable(one)) for one in benchmarks if one.rejected]
        tables.append(Table("Records that cannot be used", ["Record", "Why"], blocks))
    return tables


def _unusable(benchmark: Benchmark) -> list[list[str]]:
    rows = [[item.id, item.reason] for item in benchmark.rejected[:_NAMED]]
    more = len(benchmark.rejected) - len(rows)
    return rows + ([["…", f"{more} more, in {benchmark.name}.loading.csv"]] if more else [])
