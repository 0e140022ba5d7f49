"""Tables on disk: tidy numbers as CSV beside what is read, as Markdown, LaTeX, and JSON for the report's pages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from baft.files import write_text
from baft.report.rendering import Behind, Table, latex, markdown


def write_table(out: Path, frame: pd.DataFrame, tables: Sequence[Table]) -> list[Path]:
    """Write ``frame`` to ``out``.csv and ``tables`` to ``out``.md, .tex and .json; return the paths."""
    return [
        write_text(out.with_name(f"{out.name}.csv"), frame.to_csv(index=False)),
        write_text(out.with_name(f"{out.name}.md"), markdown(tables)),
        write_text(out.with_name(f"{out.name}.tex"), latex(tables)),
        write_text(
            out.with_name(f"{out.name}.json"), json.dumps([asdict(table) for table in tables], ensure_ascii=False)
        ),
    ]


def read_tables(path: Path) -> list[Table]:
    """The tables of a JSON file that :func:`write_table` wrote."""
    return [
        Table(**{**table, "behind": Behind(**table["behind"]) if table["behind"] else None})
        for table in json.loads(path.read_text(encoding="utf-8"))
    ]
