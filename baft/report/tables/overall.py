"""The table of means, differences and volumes over the records of all benchmarks together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from baft.config import StatisticsConfig
from baft.config.products import TableProduct
from baft.report import estimates
from baft.report.cells import NO_ORIGINS, Origins, read_cells, rows_of, settings_of
from baft.report.inputs import Inputs
from baft.report.labels import HEADS, method_name, ordered_benchmarks, ordered_methods
from baft.report.notes import interval_note, record_notes, significance_notes, unit_notes, unmeasured_notes
from baft.report.pooling import NOTHING_POOLED, Pool, pools
from baft.report.rendering import HOLE, Table, percent
from baft.report.texts import ABOVE_BELOW, VOLUME_HEADS, difference_text, mean_text, volume_texts
from baft.report.tradeoff import VARIANTS, volumes_frame
from baft.report.writing import write_table
from baft.results.schema import ALL_GROUPS

PRODUCT = TableProduct(cells="records", label="all benchmarks together", place=12, several_benchmarks=True)

_TABLE_HEADS = ["Method", *HEADS.values(), *VOLUME_HEADS]
_WHERE = ["model", "protocol", "method", "other", "metric"]
_COLUMNS = [*_WHERE, "mean", "low", "high", "p", "p_holm", "records", "units"]


def write(inputs: Inputs, stem: Path) -> list[Path]:
    """Write the table at ``stem`` with the suffixes of tables; return the paths."""
    return tabulate_overall(inputs.files, stem, inputs.statistics, inputs.origins)


def tabulate_overall(
    records: Sequence[Path], out: Path, statistics: StatisticsConfig, origins: Origins = NO_ORIGINS
) -> list[Path]:
    """Write the table to ``out`` as CSV, Markdown and LaTeX; return the paths.

    The CSV has a row a method and metric, ``volume`` among them, and where ``other`` is not empty what the method has
    more than the other: than the reference, or of volume than any other. p-values are corrected among the methods.
    """
    made = pools(read_cells(records, origins))
    frame = pd.concat([overall_frame(pool, statistics) for *_, pool in made] or [pd.DataFrame(columns=_COLUMNS)])
    kept = {(model, protocol): pool for model, protocol, pool in made}
    tables = [_table(own, kept[model, protocol], statistics) for model, protocol, own in settings_of(frame)]
    if not tables:
        tables = [Table("All benchmarks together", _TABLE_HEADS, [], [NOTHING_POOLED])]
    return write_table(out, frame, tables)


def overall_frame(pool: Pool, statistics: StatisticsConfig) -> pd.DataFrame:
    """The estimates of one pool, as the CSV has them."""
    metrics = [f"{name}{ending}" for name in HEADS for ending in VARIANTS.values()]
    own = estimates.means(pool.cells, level=statistics.level, metrics=metrics, groups=[ALL_GROUPS]).assign(other="")
    paired = estimates.differences(pool.cells, statistics.reference, level=statistics.level, metrics=metrics)
    paired = paired.assign(other=paired["reference"])
    volumes = volumes_frame(pool.cells, statistics).rename(columns={"line": "method", "volume": "mean"})
    volumes["metric"] = "volume" + volumes["variant"].map(VARIANTS)
    return pd.concat([own, paired, volumes], ignore_index=True).reindex(columns=_COLUMNS)


def _table(frame: pd.DataFrame, pool: Pool, statistics: StatisticsConfig) -> Table:
    reference = str(statistics.reference)
    blocks = [(variant, _means(frame, ending)) for variant, ending in VARIANTS.items()]
    paired = frame[frame["other"].eq(reference) & ~frame["metric"].str.startswith("volume")]
    if not paired.empty:
        blocks += [
            (f"{variant}, less {method_name(reference)}", _differences(frame, reference, ending, statistics))
            for variant, ending in VARIANTS.items()
        ]
    model, protocol = (str(frame[name].iloc[0]) for name in ("model", "protocol"))
    title = f"{model}, {protocol} editing: all benchmarks together"
    return Table(title, _TABLE_HEADS, blocks, _notes(frame, pool, statistics))


def _means(frame: pd.DataFrame, ending: str) -> list[list[str]]:
    own = frame[frame["other"].eq("")]
    found = _by_metric(own)
    others = frame[frame["metric"].eq(f"volume{ending}") & frame["other"].ne("")]
    rows = []
    for method in ordered_methods(own["method"]):
        means = [found.get((method, f"{metric}{ending}")) for metric in HEADS]
        volume = _limits(found.get((method, f"volume{ending}")))
        cells = [HOLE if row is None else mean_text(row) for row in means]
        rows.append([method_name(method), *cells, *volume_texts(volume, others[others["method"].eq(method)])])
    return rows


def _differences(frame: pd.DataFrame, reference: str, ending: str, statistics: StatisticsConfig) -> list[list[str]]:
    chosen = frame[frame["other"].eq(reference)]
    found = _by_metric(chosen)
    rows = []
    for method in ordered_methods(chosen["method"]):
        apart = [found.get((method, f"{metric}{ending}")) for metric in HEADS]
        volume = _limits(found.get((method, f"volume{ending}")))
        cells = [HOLE if row is None else difference_text(row, statistics.level) for row in apart]
        rows.append([method_name(method), *cells, HOLE if volume is None else percent(*volume, signed=True), "", ""])
    return rows


def _by_metric(rows: pd.DataFrame) -> dict[tuple[str, str], Any]:
    return {(row.method, row.metric): row for row in rows_of(rows)}


def _limits(row: Any) -> tuple[float, float, float] | None:
    return None if row is None else (row.mean, row.low, row.high)


def _volumes(frame: pd.DataFrame) -> pd.DataFrame:
    """The volumes of ``frame`` as :func:`~baft.report.tradeoff.volumes_frame` names its columns."""
    named = {f"volume{ending}": variant for variant, ending in VARIANTS.items()}
    own = frame[frame["metric"].isin(list(named)) & frame["other"].eq("")]
    own = own.assign(benchmark="All benchmarks", variant=own["metric"].map(named))
    return own.rename(columns={"mean": "volume", "method": "line"})


def _notes(frame: pd.DataFrame, pool: Pool, statistics: StatisticsConfig) -> list[str]:
    counts = ", ".join(f"{name} {pool.records[name]}" for name in ordered_benchmarks(pool.records))
    paired = frame[frame["other"].ne("") & ~frame["metric"].str.startswith("volume")]
    left = ", ".join(method_name(name) for name in ordered_methods(pool.left_out))
    return [
        "Per cent, mean over the records of all benchmarks that have such probes, each record weighing the same "
        f"({counts}). {interval_note(statistics.level)} They are about further records in these shares of the benchmarks.",
        "Volume: what a method's point dominates above 0 in the four means, which is their product. " + ABOVE_BELOW,
        *unmeasured_notes(_volumes(frame), "volume"),
        *(significance_notes(paired, statistics.level) if not paired.empty else []),
        *([f"Left out, for they lack a benchmark: {left}."] if left else []),
        *unit_notes(frame[frame["other"].eq("")].assign(benchmark="All benchmarks")),
        *record_notes(pool.cells),
    ]
