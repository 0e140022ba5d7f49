"""Tables as text: cells of a grid as Markdown, LaTeX (booktabs) or plain columns. A hole is a dash, never a 0."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from tabulate import tabulate

from baft.results.metrics import Unit

HOLE = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Behind:
    """Which probes the cells of a table are means of, for whoever wants to read the answers.

    ``methods`` has the label of each row, the same in every block; ``kinds`` the kind of probe of each column, empty where
    there is none. The benchmark is the title of a block.
    """

    model: str
    protocol: str
    methods: Sequence[str]
    kinds: Sequence[str]


@dataclass(frozen=True, slots=True)
class Table:
    """A table ready to be written: rows of texts under ``heads``, in blocks that each have a title or an empty one."""

    title: str
    heads: Sequence[str]
    blocks: Sequence[tuple[str, Sequence[Sequence[str]]]]
    notes: Sequence[str] = field(default=())
    behind: Behind | None = None


def percent(value: float, low: float | None = None, high: float | None = None, *, signed: bool = False) -> str:
    """A share as per cent with one decimal. Its interval in brackets, a dash in them where it is NaN: there is none."""
    if math.isnan(value):
        return HOLE
    form = "{:+.1f}" if signed else "{:.1f}"
    ends = [None if end is None else _percent(end, "{:.1f}") for end in (low, high)]
    return _with_interval(_percent(value, form), *ends)


def _percent(value: float, form: str) -> str:
    return HOLE if math.isnan(value) else form.format(_no_negative_zero(100 * value))


def _with_interval(text: str, low: str | None, high: str | None) -> str:
    if low is None or high is None:
        return text
    return f"{text} [{HOLE}]" if HOLE in (low, high) else f"{text} [{low}, {high}]"


_FORMS: dict[Unit, str] = {"share": "{:.1f}", "nats": "{:.3f}", "bits": "{:.2f}", "ratio": "{:.3f}"}


def estimate(
    value: float,
    low: float | None = None,
    high: float | None = None,
    *,
    unit: Unit = "share",
    signed: bool = False,
) -> str:
    """A value in its unit (a share as per cent), with its interval as in :func:`percent`."""
    if unit == "share":
        return percent(value, low, high, signed=signed)
    if math.isnan(value):
        return HOLE
    value_text, low_text, high_text = (None if x is None else _in_unit(x, unit) for x in (value, low, high))
    return _with_interval(f"+{value_text}" if signed and value > 0 else f"{value_text}", low_text, high_text)


def _in_unit(value: float, unit: Unit) -> str:
    return HOLE if math.isnan(value) else (_FORMS[unit] if abs(value) < 1000 else "{:.2g}").format(value)


def number(value: float, form: str = "{:,.0f}") -> str:
    """A number in ``form``, or a hole."""
    return HOLE if math.isnan(value) else form.format(value)


def quantity(value: float, unit: str = "") -> str:
    """A count to three digits with k, M, G: 12300000 is 12.3M."""
    if math.isnan(value):
        return HOLE
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}{unit}"
    return f"{value:.3g}{unit}"


def _no_negative_zero(value: float) -> float:
    return 0.0 if abs(value) < 0.05 else value


def markdown(tables: Sequence[Table]) -> str:
    """Markdown with a section a table, a bold row a block, and the notes below."""
    parts = []
    for table in tables:
        rows = []
        for title, block in table.blocks:
            if title:
                rows.append([f"**{_literal(title)}**", *[""] * (len(table.heads) - 1)])
            rows.extend([_literal(cell) for cell in row] for row in block)
        aligned = ["left", *["right"] * (len(table.heads) - 1)]
        body = tabulate(
            rows, [_literal(head) for head in table.heads], tablefmt="pipe", disable_numparse=True, colalign=aligned
        )
        notes = "\n".join(f"- {_line(note)}" for note in table.notes)
        parts.append(f"## {_line(table.title)}\n\n{body}\n" + (f"\n{notes}\n" if notes else ""))
    return "\n".join(parts)


def _line(text: str) -> str:
    """Text at the start of a line or list item, where some marks would begin a heading, a quotation or a list."""
    start = re.sub(r"^(\d+)(?=[.)])", r"\1\\", re.sub(r"^(?=[#>+=~-])", r"\\", _literal(text)))
    return re.sub(r"(?<=\s)(?=#+$)", r"\\", start)


def _literal(text: str) -> str:
    """Text that a reader sees as it is: nothing in it ends a cell, or is a picture, a link, HTML or emphasis.

    A picture or a link would have the reader's browser ask another's server.
    """
    text = re.sub(r"\\(?=[!-/:-@[-`{-~]|$)", r"\\\\", " ".join(text.split()))
    text = re.sub(r"(?<=!)\[|(?<=\])[(:[]|[|`]|<(?=[A-Za-z/!?])|&(?=#?\w+;)", r"\\\g<0>", text)
    text = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)
    # One star alone is the mark of a significant difference.
    return text.replace("*", "\\*") if text.count("*") > 1 else text


def latex(tables: Sequence[Table]) -> str:
    """A ``table*`` environment a table, for the booktabs package."""
    return "\n".join(_latex(table) for table in tables)


def _latex(table: Table) -> str:
    width = len(table.heads)
    lines = [
        r"\begin{table*}",
        r"  \centering\footnotesize\setlength{\tabcolsep}{3pt}",
        rf"  \caption{{{escape(table.title)}. {' '.join(escape(note) for note in table.notes)}}}",
        rf"  \begin{{tabular}}{{l{'r' * (width - 1)}}}",
        r"    \toprule",
        f"    {_row(table.heads)}",
    ]
    for title, block in table.blocks:
        lines.append(r"    \midrule")
        if title:
            lines.append(rf"    \multicolumn{{{width}}}{{l}}{{\emph{{{escape(title)}}}}} \\")
        lines += [f"    {_row(row)}" for row in block]
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table*}", ""])


def _row(cells: Sequence[str]) -> str:
    row = " & ".join(_small_interval(escape(" ".join(cell.split()))) for cell in cells) + r" \\"
    # After the end of a row LaTeX takes a bracket or star for an argument of it.
    return f"{{}}{row}" if row.startswith(("[", "*")) else row


def _small_interval(cell: str) -> str:
    estimate, bracket, interval = cell.partition(" [")
    return f"{estimate} {{\\scriptsize [{interval}}}" if bracket else cell


_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    HOLE: "--",
    "↓": r"$\downarrow$",
    "†": r"\textdagger{}",
}


def escape(text: str) -> str:
    """``text`` with LaTeX's special characters made harmless."""
    return "".join(_SPECIAL.get(character, character) for character in text)


def plain(table: Table) -> str:
    """The table in aligned columns for a terminal, block titles in the first column."""
    rows: list[Sequence[str]] = []
    for title, block in table.blocks:
        rows.append([title, *[""] * (len(table.heads) - 1)])
        rows.extend([f"  {row[0]}", *row[1:]] for row in block)
    aligned = ["left", *["right"] * (len(table.heads) - 1)]
    body = tabulate(
        rows, list(table.heads), tablefmt="simple", disable_numparse=True, colalign=aligned, preserve_whitespace=True
    )
    return "\n".join([table.title, "", body, *table.notes])


def visible(text: str) -> str:
    """Text of a user or a model in one line, with all that cannot be seen or would move other text escaped (``\\u202e``)."""
    return "".join(one if _is_visible(one) else one.encode("unicode_escape").decode() for one in text)


def _is_visible(character: str) -> bool:
    # Joiners are part of the spelling of some scripts.
    return character.isprintable() or unicodedata.category(character) == "Zs" or character in "\u200c\u200d"
