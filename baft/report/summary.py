"""The main table's means for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from baft.errors import UserError
from baft.report import estimates
from baft.report.cells import rows_of, settings_of
from baft.report.labels import method_name, ordered_benchmarks, ordered_methods
from baft.report.notes import unmeasured_parts
from baft.report.rendering import HOLE, Table, number, plain
from baft.results.schema import ALL_GROUPS


def summary_text(folder: Path) -> str:
    """The main table's means for a terminal, 80 columns wide, from the CSV files in ``folder``.

    Raises :class:`UserError` if the tables have not been written there.
    """
    return summary_of(*(_read(folder / f"{name}.csv") for name in ("main", "cost")))


def summary_of(main: pd.DataFrame, cost: pd.DataFrame) -> str:
    """The same of frames with ``mean``, ``unmeasured`` and ``split``, and with ``seconds``."""
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
        lost = [
            f"{benchmark}: {part}."
            for benchmark in ordered_benchmarks(setting["benchmark"])
            for part in unmeasured_parts(setting[setting["benchmark"].eq(benchmark)])
        ]
        tables.append(plain(Table(title, ["", *_SUMMARY.values(), "s/edit"], blocks, lost)))
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
