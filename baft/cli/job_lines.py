"""What Snakemake prints about jobs, in lines that can be read.

A table is made of hundreds of files. Snakemake names all of them in one line, and again where it says why a job is run.
``snakemake --detailed-summary`` names every file still.
"""

from __future__ import annotations

import logging
import re
import textwrap
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, takewhile

ROOM = 300
"""Characters that a list of files, or the reason for a job, may take."""

_WIDTH = 120
_MORE = len("and 1000000 more")
_CHANGED = "Params have changed since last execution: "
# What a job was told before and is told now, as Snakemake joins them.
_TOLD = re.compile(r".*?before: (.*) now: (.*?) ?", re.DOTALL)


def shorten(record: logging.LogRecord) -> bool:
    """A filter for Snakemake's logger: lets every record through, with the long lines of a job shortened.

    A job's logs stay as they are, for Snakemake may read them.
    """
    told = vars(record)
    for name in ("input", "output"):
        if isinstance(files := told.get(name), list):
            told[name] = first_of(files, ROOM)
    if isinstance(reason := told.get("reason"), str):
        told["reason"] = short_reason(reason)
    # The reasons of all jobs, each with its rules, and other words of Snakemake's own.
    if "event" not in told and record.levelno == logging.INFO and isinstance(record.msg, str) and not record.args:
        record.msg = "\n".join(_folded(line) for line in record.msg.split("\n"))
    return True


def first_of(names: Sequence[str], room: int) -> list[str]:
    """``names``, if they take at most ``room`` characters; else the first, at least one, and how many more there are."""
    ends = list(accumulate(len(name) + len(", ") for name in names))
    if len(names) < 2 or ends[-1] - len(", ") <= room:
        return list(names)
    kept = max(1, bisect_right(ends, room - _MORE))
    return [*names[:kept], f"and {len(names) - kept} more"]


def short_reason(text: str) -> str:
    """Why a job is run, with the first of many files, and of long parameters the place where they differ."""
    if len(text) <= ROOM:
        return text
    files, changed, told = text.partition(_CHANGED)
    clauses = files.split("; ")
    short = "; ".join(_short_clause(clause, ROOM // len(clauses)) for clause in clauses)
    return short + changed + _difference(told)


def _short_clause(clause: str, room: int) -> str:
    head, colon, files = clause.partition(": ")
    return head + colon + ", ".join(first_of(files.split(", "), room - len(head)))


def _difference(told: str) -> str:
    """The parameters around the first character in which they differ; JSON of thousands of characters hides a number."""
    found = _TOLD.fullmatch(told)
    if found is None or len(told) <= ROOM:
        return told
    before, now = found.groups()
    differs = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, now, strict=False)))
    start, end = max(0, differs - ROOM // 4), differs + ROOM // 4
    return f"before: {_cut(before, start, end)} now: {_cut(now, start, end)}"


def _cut(text: str, start: int, end: int) -> str:
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")


def _folded(line: str) -> str:
    if len(line) <= ROOM:
        return line
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(line, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
