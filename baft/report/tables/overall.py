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
from baft.report.notes import interval_note, record_notes, significance_mark, significance_notes, unit_notes
from baft.report.pooling import NOTHING_POOLED, Pool, pools
from baft.report.rendering import HOLE, Table, estimate, percent
from baft.report.tradeoff import VARIANTS, volumes_frame
from baft.report.writing import write_table
from baft.results.metrics import measure_of
from baft.results.schema import ALL_GROUPS

PRODUCT = TableProduct(cells="records", label="all benchmarks together", place=12, several_benchmarks=True)

_VOLUME = ["Volume", "Above", "Below"]
_TABLE_HEADS = ["Method", *HEADS.values(), *_VOLUME]
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
    own = estimates.means(pool.cells, level=statistics.level, metrics=metrics)
    own = own[own["group"].eq(ALL_GROUPS)].assign(other="")
    paired = estimates.differences(pool.cells, statistics.reference, level=statistics.level)
    paired = paired[paired["metric"].isin(metrics)].assign(other=paired["reference"])
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
    found = {(row.method, row.metric): row for row in rows_of(own)}
    others = frame[frame["metric"].eq(f"volume{ending}") & frame["other"].ne("")]
    rows = []
    for method in ordered_methods(own["method"]):
        cells = [_estimate(found.get((method, f"{metric}{ending}"))) for metric in HEADS]
        rows.append([method_name(method), *cells, *_volume(found.get((method, f"volume{ending}")), others, method)])
    return rows


def _volume(row: Any, others: pd.DataFrame, method: str) -> list[str]:
    if row is None or pd.isna(row.mean):
        return [HOLE] * len(_VOLUME)
    apart = others[others["method"].eq(method)]
    told = [str(int(apart["low"].gt(0).sum())), str(int(apart["high"].lt(0).sum()))]
    return [percent(row.mean, row.low, row.high), *(told if apart["low"].notna().any() else [HOLE, HOLE])]


def _differences(frame: pd.DataFrame, reference: str, ending: str, statistics: StatisticsConfig) -> list[list[str]]:
    chosen = frame[frame["other"].eq(reference)]
    found = {(row.method, row.metric): row for row in rows_of(chosen)}
    rows = []
    for method in ordered_methods(chosen["method"]):
        cells = [_difference(found.get((method, f"{metric}{ending}")), statistics.level) for metric in HEADS]
        volume = found.get((method, f"volume{ending}"))
        told = (
            HOLE
            if volume is None or pd.isna(volume.mean)
            else percent(volume.mean, volume.low, volume.high, signed=True)
        )
        rows.append([method_name(method), *cells, told, "", ""])
    return rows


def _estimate(row: Any) -> str:
    return HOLE if row is None else estimate(row.mean, row.low, row.high, unit=measure_of(row.metric).unit)


def _difference(row: Any, level: float) -> str:
    if row is None:
        return HOLE
    text = estimate(row.mean, row.low, row.high, unit=measure_of(row.metric).unit, signed=True)
    return text + significance_mark(row.p_holm, level)


def _notes(frame: pd.DataFrame, pool: Pool, statistics: StatisticsConfig) -> list[str]:
    counts = ", ".join(f"{name} {pool.records[name]}" for name in ordered_benchmarks(pool.records))
    paired = frame[frame["p"].notna() & frame["other"].ne("")]
    left = ", ".join(method_name(name) for name in ordered_methods(pool.left_out))
    return [
        "Per cent, mean over the records of all benchmarks that have such probes, each record weighing the same "
        f"({counts}). {interval_note(statistics.level)} They are about further records in these shares of the benchmarks.",
        "Volume: what a method's point dominates above 0 in the four means, which is their product. Above, below: how many "
        "others have less volume, or more, by a paired difference whose interval leaves 0 out; among many methods a few are "
        "by chance.",
        *(significance_notes(paired, statistics.level) if not paired.empty else []),
        *([f"Left out, for they lack a benchmark: {left}."] if left else []),
        *unit_notes(frame[frame["other"].eq("")].assign(benchmark="All benchmarks")),
        *record_notes(pool.cells),
    ]
