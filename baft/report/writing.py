"""Tables on disk: tidy numbers as CSV beside what is read, as Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from baft.files import write_text
from baft.report.rendering import Table, latex, markdown


def write_table(out: Path, frame: pd.DataFrame, tables: Sequence[Table]) -> list[Path]:
    """Write ``frame`` to ``out``.csv and ``tables`` to ``out``.md and ``out``.tex; return the paths."""
    return [
        write_text(out.with_name(f"{out.name}.csv"), frame.to_csv(index=False)),
        write_text(out.with_name(f"{out.name}.md"), markdown(tables)),
        write_text(out.with_name(f"{out.name}.tex"), latex(tables)),
    ]
