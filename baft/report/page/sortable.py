"""Tables as a page shows them: each cell with what it is sorted by, and the way to the answers behind it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from baft.report.page.html import write_page
from baft.report.rendering import HOLE, Behind, Table
from baft.report.writing import read_tables

_NUMBER = re.compile(r"(?P<number>[+-]?[\d,]*\.?\d+(?:e[+-]?\d+)?)(?P<size>[kMG]?)B?[*†]?")
_SIZES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: its value, the interval and marks behind it, the number that it is sorted by (a text; empty for a hole, None
    where it is no number), and the address of the answers that it is a mean of."""

    value: str
    interval: str
    order: str | None
    link: str


@dataclass(frozen=True, slots=True)
class Sortable:
    """A table for a page.

    ``rows`` are those of all blocks, each with its block's place and title. ``numeric`` says of each column whether it has
    nothing but numbers and holes, ``grouped`` whether the blocks have titles.
    """

    title: str
    heads: Sequence[str]
    numeric: Sequence[bool]
    rows: Sequence[tuple[int, str, Sequence[Cell]]]
    notes: Sequence[str]
    grouped: bool


def sortable(table: Table, answers: str = "") -> Sortable:
    """A table for a page; its cells lead to ``answers``, the address of the page of answers, if that is given."""
    rows = [
        (place, title, [_cell(text, _link(table.behind, title, number, column, answers)) for column, text in cells])
        for place, (title, block) in enumerate(table.blocks)
        for number, cells in ((number, enumerate(row)) for number, row in enumerate(block))
    ]
    columns = zip(*(cells for _, _, cells in rows), strict=True) if rows else [()] * len(table.heads)
    numeric = [_is_numeric([cell.order for cell in column]) for column in columns]
    return Sortable(table.title, table.heads, numeric, rows, table.notes, any(title for title, _ in table.blocks))


def _cell(text: str, link: str) -> Cell:
    value, bracket, interval = text.partition(" [")
    found = _NUMBER.fullmatch(value)
    order: str | None = "" if value in ("", HOLE) else None
    if found:
        order = f"{float(found['number'].replace(',', '')) * _SIZES[found['size']]:.12g}"
    return Cell(value, f"[{interval}" if bracket else "", order, "" if order == "" else link)


def _is_numeric(orders: Sequence[str | None]) -> bool:
    return any(orders) and None not in orders


def _link(behind: Behind | None, benchmark: str, row: int, column: int, answers: str) -> str:
    if not answers or behind is None or not behind.kinds[column]:
        return ""
    chosen = {
        "model": behind.model,
        "protocol": behind.protocol,
        "benchmark": benchmark,
        "method": behind.methods[row],
        "kind": behind.kinds[column],
    }
    return f"{answers}#{urlencode(chosen)}"


def show_table(tables: Path, out: Path) -> None:
    """Write the JSON file of a table as a page of its own."""
    write_page("table.html", out, title=tables.stem, tables=[sortable(table) for table in read_tables(tables)])
