"""The report's tables: means with intervals, paired differences, costs; as CSV, Markdown and LaTeX.

The columns pair what is teacher-forced with what is decoded, for the first alone leaks the answer's length and content.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from baft.config import StatisticsConfig
from baft.errors import UserError
from baft.report import estimates
from baft.report.cells import Cells, read_cells, rows_of, settings_of
from baft.report.labels import method_name, ordered_benchmarks, ordered_methods
from baft.report.rendering import HOLE, Table, number, percent, plain, quantity
from baft.report.writing import write_table, write_text
from baft.results.schema import ALL_GROUPS
from baft.results.summaries import METRICS

TABLES = ("main", "paired", "cost")
SUFFIXES = ("csv", "md", "tex")

_HEADS = {
    "edit_success": "Success",
    "edit_success_decoded": "Success, dec.",
    "generality": "General.",
    "generality_decoded": "General., dec.",
    "portability": "Portab.",
    "portability_decoded": "Portab., dec.",
    "locality": "Locality",
    "locality_decoded": "Locality, dec.",
}


def tabulate(records: Sequence[Path], edits: Sequence[Path], folder: Path, statistics: StatisticsConfig) -> list[Path]:
    """Write every table of :data:`TABLES` into ``folder`` as CSV, Markdown and LaTeX; return the paths.

    ``main.csv``, ``paired.csv`` and ``cost.csv`` are tidy, one row an estimate; ``main_wide.csv`` has a row a method
    and benchmark and three columns a metric. Methods are compared with ``statistics.reference``. Cells that are not
    there are holes. Raises :class:`UserError` if the cells do not belong into one table.
    """
    cells = read_cells(records)
    settings = statistics.bootstrap()
    main = estimates.means(cells, **settings)
    paired = estimates.differences(cells, statistics.reference, **settings)
    cost = estimates.costs(edits, **settings)
    made = {
        "main": (main, main_tables(main, cells, statistics)),
        "paired": (paired, paired_tables(paired, statistics)),
        "cost": (cost, cost_tables(cost)),
    }
    paths = [write_text(folder / "main_wide.csv", wide(main).to_csv(index=False))]
    for name, (frame, tables) in made.items():
        paths += write_table(folder / name, frame, tables)
    return paths


def wide(main: pd.DataFrame) -> pd.DataFrame:
    """One row a model, protocol, benchmark and method; a metric's mean and interval in three columns; empty holes."""
    overall = main[main["group"].eq(ALL_GROUPS)]
    index = ["model", "protocol", "benchmark", "method"]
    table = overall.pivot(index=index, columns="metric", values=["mean", "low", "high"])
    columns = [(part, metric) for metric in METRICS for part in ("mean", "low", "high")]
    table = table.reindex(columns=pd.MultiIndex.from_tuples(columns))
    table.columns = pd.Index([metric if part == "mean" else f"{metric}_{part}" for part, metric in columns])
    return table.reset_index()


def main_tables(main: pd.DataFrame, cells: Cells, statistics: StatisticsConfig) -> list[Table]:
    """A table a model and protocol: a block a benchmark, a row a method, a column a metric."""
    overall = main[main["group"].eq(ALL_GROUPS)]
    made = []
    for model, protocol, setting in settings_of(overall):
        found = {(row.benchmark, row.method, row.metric): row for row in rows_of(setting)}
        methods = ordered_methods(setting["method"])
        blocks = []
        for benchmark in ordered_benchmarks(setting["benchmark"]):
            rows = [
                [method_name(method), *(_estimate(found.get((benchmark, method, metric))) for metric in _HEADS)]
                for method in methods
            ]
            blocks.append((benchmark, rows))
        notes = [*_main_notes(statistics, cells.one(model, protocol), setting), *count_notes(setting)]
        made.append(Table(f"{model}, {protocol} editing", ["Method", *_HEADS.values()], blocks, notes))
    return made


def _estimate(row: Any) -> str:
    return HOLE if row is None else percent(row.mean, row.low, row.high)


def _main_notes(statistics: StatisticsConfig, cells: Cells, setting: pd.DataFrame) -> list[str]:
    conditions = cells.facts["conditions"].iloc[0]
    moment = {"final": "after the last edit of a stream", "immediate": "right after each edit"}
    return [
        f"Per cent, mean over records with the {statistics.level:.0%} percentile bootstrap interval "
        f"({statistics.resamples} resamples of streams).",
        f"Scored {moment.get(setting['moment'].iloc[0], 'before any edit')}; {conditions.split} split; "
        f"{conditions.prompt_format} prompts; {conditions.dtype}; seeds: {setting['seeds'].max()}.",
        "Success, generality and portability: share of answer tokens right when the answer is forced, and (dec.) "
        "whether the decoded answer starts with an accepted one. Locality: agreement with the unedited model at forced "
        "answer positions, and (dec.) whether the decoded string is the same. A failed edit counts 0 in the former and "
        "is left out of the latter.",
    ]


def count_notes(setting: pd.DataFrame) -> list[str]:
    """In words: records edited, left out, failed and unusable, by benchmark."""
    notes = []
    for benchmark in ordered_benchmarks(setting["benchmark"]):
        rows = setting[setting["benchmark"].eq(benchmark)]
        lowest, most = rows["edited"].min(), rows["edited"].max()
        parts = [f"{most} records" if lowest == most else f"{lowest} to {most} records, depending on the method"]
        for names, left in rows[rows["left_out"] > 0].groupby("left_out")["metric"]:
            metrics = sorted({METRICS[name].kind for name in left})
            parts.append(f"{names} left out of {', '.join(metrics)} (no such probe, or a failed edit)")
        failed = rows.drop_duplicates("method").set_index("method")["failed"]
        parts += [f"{failed[name]} failed edits of {method_name(name)}" for name in failed.index[failed > 0]]
        if (rejected := rows["rejected"].max()) > 0:
            parts.append(f"{rejected} more could not be used")
        notes.append(f"{benchmark}: {'; '.join(parts)}.")
    return notes


def paired_tables(paired: pd.DataFrame, statistics: StatisticsConfig) -> list[Table]:
    """A table a model and protocol of differences from the reference, those that stay significant marked."""
    made = []
    for model, protocol, setting in settings_of(paired):
        found = {(row.benchmark, row.method, row.metric): row for row in rows_of(setting)}
        reference = str(setting["reference"].iloc[0])
        blocks = [
            (
                benchmark,
                [
                    [
                        method_name(method),
                        *(_difference(found.get((benchmark, method, m)), statistics.level) for m in _HEADS),
                    ]
                    for method in ordered_methods(setting["method"])
                ],
            )
            for benchmark in ordered_benchmarks(setting["benchmark"])
        ]
        notes = [
            f"Percentage points, method minus {method_name(reference)} on the records both have, with the "
            f"{statistics.level:.0%} bootstrap interval.",
            f"*: p < {1 - statistics.level:.2g} by the sign-flip permutation test of streams after Holm's correction "
            f"across this table ({len(setting)} tests).",
        ]
        title = f"{model}, {protocol} editing: differences from {method_name(reference)}"
        made.append(Table(title, ["Method", *_HEADS.values()], blocks, notes))
    return made


def _difference(row: Any, level: float) -> str:
    if row is None:
        return HOLE
    text = percent(row.mean, row.low, row.high, signed=True)
    return text + ("*" if row.p_holm < 1 - level else "")


def cost_tables(cost: pd.DataFrame) -> list[Table]:
    """A table a model and protocol of what an edit costs."""
    heads = ["Method", "Trained", "Changed", "Steps", "Seconds an edit", "Peak memory", "Edits", "Failed"]
    made = []
    for model, protocol, setting in settings_of(cost):
        found = {(row.benchmark, row.method): row for row in rows_of(setting)}
        blocks = []
        for benchmark in ordered_benchmarks(setting["benchmark"]):
            rows = [
                [method_name(method), *_cost(found.get((benchmark, method)), len(heads) - 1)]
                for method in ordered_methods(setting["method"])
            ]
            blocks.append((benchmark, rows))
        devices = ", ".join(sorted(set(setting["devices"]))) or "not recorded"
        notes = [
            "Trained: parameters trained for an edit; changed: weights of the model that differ because of it "
            "(medians). Seconds: wall time of a batch over its edits, mean with interval. Peak memory: the largest. "
            "Failed edits are left out.",
            f"Measured on: {devices}.",
        ]
        made.append(Table(f"{model}, {protocol} editing: cost of an edit", heads, blocks, notes))
    return made


def _cost(row: Any, columns: int) -> list[str]:
    if row is None:
        return [HOLE] * columns
    given: Mapping[str, float] = row._asdict()
    seconds = number(given["seconds"], "{:.3g}")
    if not math.isnan(given["seconds_low"]):
        seconds += f" [{given['seconds_low']:.3g}, {given['seconds_high']:.3g}]"
    return [
        quantity(given["parameters_trained"]),
        quantity(given["parameters_changed"]),
        number(given["optimiser_steps"], "{:.1f}"),
        seconds,
        quantity(given["peak_memory"], "B"),
        str(given["edits"]),
        str(given["failed"]),
    ]


def summary_text(folder: Path) -> str:
    """The main table's means for a terminal, 80 columns wide, from the CSV files in ``folder``.

    Raises :class:`UserError` if the tables have not been written there.
    """
    main, cost = (_read(folder / f"{name}.csv") for name in ("main", "cost"))
    overall = main[main["group"].eq(ALL_GROUPS)]
    seconds = cost.set_index(estimates.CELL)["seconds"].to_dict()
    tables = []
    for model, protocol, setting in settings_of(overall):
        found = {(row.benchmark, row.method, row.metric): row.mean for row in rows_of(setting)}
        blocks = []
        for benchmark in ordered_benchmarks(setting["benchmark"]):
            rows = []
            for method in ordered_methods(setting["method"]):
                cells = [_pair(found, benchmark, method, metric) for metric in _SUMMARY]
                time = number(seconds.get((model, protocol, method, benchmark), math.nan), "{:.2g}")
                rows.append([method_name(method), *cells, time])
            blocks.append((benchmark, rows))
        title = f"{model}, {protocol} editing, {setting['split'].iloc[0]} split: per cent, forced / decoded"
        tables.append(plain(Table(title, ["", *_SUMMARY.values(), "s/edit"], blocks)))
    return "\n\n".join(tables)


_SUMMARY = {
    "edit_success": "success",
    "generality": "generality",
    "portability": "portability",
    "locality": "locality",
}


def _pair(found: Mapping[tuple[str, str, str], float], benchmark: str, method: str, metric: str) -> str:
    values = [found.get((benchmark, method, name), math.nan) for name in (metric, f"{metric}_decoded")]
    if all(math.isnan(value) for value in values):
        return HOLE
    return " / ".join(HOLE.rjust(5) if math.isnan(value) else f"{100 * value:5.1f}" for value in values)


def _read(path: Path) -> pd.DataFrame:
    try:
        # Labels stay text: a method called "none" is no missing value, nor one called "1e3" a number.
        text = dict.fromkeys([*estimates.CELL, "group", "metric"], str)
        return pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: run `baft tabulate` first.") from error
