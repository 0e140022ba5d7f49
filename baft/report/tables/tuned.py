"""What the tuning of each method has found: its start, its best trial, and how many trials failed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from baft.config.products import TableProduct
from baft.report.inputs import Inputs
from baft.report.labels import method_name, ordered_methods
from baft.report.rendering import HOLE, Table
from baft.report.trials import trials_frame
from baft.report.writing import write_table
from baft.results.tuning import best_of

PRODUCT = TableProduct(cells="tuning", label="tuned settings", place=45, settings=("tuning.records", "tuning.seed"))

_HEADS = ["Method", "Trials", "Failed", "Start", "Best", "at trial", "Editing", "Locality", "Best settings"]
_COLUMNS = [
    "model",
    "method",
    "trials",
    "failed",
    "start",
    "best",
    "trial",
    "editing",
    "locality",
    "settings",
    "reason",
]


def write(inputs: Inputs, stem: Path) -> list[Path]:
    """Write the table at ``stem`` with the suffixes of tables; return the paths."""
    frame = tuned_frame(trials_frame(inputs.files))
    return write_table(stem, frame, tuned_tables(frame, inputs.settings))


def tuned_frame(trials: pd.DataFrame) -> pd.DataFrame:
    """A row a model and method: ``start`` and ``best`` are objectives in [0, 1], ``trial`` the best's number, ``editing``
    and ``locality`` its two sides, ``settings`` those that were searched, and ``reason`` why the first failed trial did."""
    rows = []
    for (model, method), own in trials.groupby(["model", "method"], sort=False):
        records = _records(own)
        best = best_of(records)
        failed = [one for one in records if one["state"] == "failed"]
        row = {"model": model, "method": method, "trials": len(records), "failed": len(failed)}
        row |= {"start": records[0]["objective"], "reason": failed[0]["error"] if failed else ""}
        if best is not None:
            row |= {"best": best["objective"], "settings": _settings(best["searched"])}
            row |= {name: best[name] for name in ("trial", "editing", "locality")}
        rows.append(row)
    return pd.DataFrame(rows, columns=_COLUMNS)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _settings(searched: str) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in json.loads(searched).items())


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


def tuned_tables(frame: pd.DataFrame, settings: Mapping[str, Any]) -> list[Table]:
    """A table a model, a row a method."""
    made = []
    for model, own in frame.groupby("model", sort=False):
        found = {row["method"]: row for row in _records(own)}
        rows = [_row(found[method]) for method in ordered_methods(own["method"])]
        notes = [
            "Start, best: objective of the first trial, which has the settings that the method had before, and of the best. "
            "Per cent; per benchmark the harmonic mean of success, generality, portability and locality, its forced and its "
            "decoded half averaged, then averaged over benchmarks. Editing is the same without locality.",
            f"As many trials for every method, on the first {settings['tuning.records']} records of each benchmark; seed "
            f"{settings['tuning.seed']}. On these records the best trial looks better than it is.",
            *(_why(row) for row in found.values() if row["failed"]),
        ]
        made.append(Table(f"{model}: tuning", _HEADS, [("", rows)], notes))
    return made


def _why(row: Mapping[str, Any]) -> str:
    return f"{method_name(row['method'])}: the first trial that failed: {row['reason']}"


def _row(row: Mapping[str, Any]) -> list[str]:
    counts = [str(row["trials"]), str(row["failed"])]
    if pd.isna(row["best"]):
        return [method_name(row["method"]), *counts, *[HOLE] * (len(_HEADS) - 3)]
    start, best, editing, locality = (
        HOLE if pd.isna(row[name]) else f"{100 * row[name]:.1f}" for name in ("start", "best", "editing", "locality")
    )
    return [
        method_name(row["method"]),
        *counts,
        start,
        best,
        str(int(row["trial"])),
        editing,
        locality,
        row["settings"],
    ]
