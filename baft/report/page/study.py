"""The page of a study: what was asked, what came out, and every table and figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from baft.config import PageSpec
from baft.report.estimates import CELL
from baft.report.labels import FLOORS, method_name, ordered_methods
from baft.report.page.captions import caption
from baft.report.page.findings import few_records, findings, standing
from baft.report.page.html import embedded, in_one_column, library, write_page
from baft.report.page.methods import described
from baft.report.page.sortable import sortable
from baft.report.page.together import together
from baft.report.writing import read_tables

ANSWERS = "answers.html"
# They stand before the tables.
_FIRST = ("pooled", "editing", "tradeoff")
_EDITING = "editing (the harmonic mean of success, generality and portability, as far as a benchmark has them)"


def write_report(
    spec: PageSpec, made: Path, out: Path, missing: Sequence[str] = (), outdated: Sequence[str] = ()
) -> Path:
    """Write the page of a study to ``out`` from the folders ``tables`` and ``figures`` in ``made``; return its path.

    What is not there is left out. ``missing`` are names of cells that it was made without, and ``outdated`` names of those
    that were left out because they were run otherwise than the study says, which it then says first. Tables lead to the
    page of answers, which lies beside it.
    """
    tables = {name: made / "tables" / f"{name}.json" for name in spec.tables}
    figures = {name: made / "figures" / f"{name}.png" for name in spec.figures}
    shown = [
        {
            "name": name,
            "label": label,
            "caption": caption(name, spec.config),
            "tables": [sortable(table, ANSWERS) for table in read_tables(tables[name])],
        }
        for name, label in spec.tables.items()
        if tables[name].is_file()
    ]
    drawn = [
        {
            "name": name,
            "label": spec.figures[name],
            "caption": caption(name, spec.config),
            "picture": picture,
            "width": "column" if in_one_column(figures[name]) else "page",
        }
        for name, picture in embedded({name: path for name, path in figures.items() if path.is_file()}).items()
    ]
    return write_page(
        "report.html",
        out,
        title=str(spec.config["study"]),
        missing=missing,
        outdated=outdated,
        asked=_asked(spec),
        tables=shown,
        first=[figure for figure in drawn if figure["name"] in _FIRST],
        figures=[figure for figure in drawn if figure["name"] not in _FIRST],
        methods=described(spec.methods),
        answers=ANSWERS,
        level=spec.grid.statistics.level,
        library=library(),
        **_came_out(spec, made),
    )


def _came_out(spec: PageSpec, made: Path) -> dict[str, Any]:
    """What the sentences at the beginning of the page are made of."""
    main, paired, overall = (_read(made / "tables" / f"{name}.csv") for name in ("main", "paired", "overall"))
    tradeoff, editing = (_read(made / "figures" / f"{name}.csv") for name in ("tradeoff", "editing"))
    baft = [
        label for label in spec.grid.methods if any(one.label == label and one.method == "baft" for one in spec.methods)
    ]
    return {
        "few": few_records(main) if len(main) else "",
        "standing": [
            said
            for points, score in ((tradeoff, "success"), (editing, _EDITING))
            if len(points) and (said := standing(points, baft, score))
        ],
        "together": together(overall, baft) if len(overall) else [],
        "findings": findings(tradeoff, paired, baft) if len(tradeoff) else [],
    }


def _read(path: Path) -> pd.DataFrame:
    """A table of numbers; an empty one if it has not been made. Labels stay text: a method is called "none"."""
    if not path.is_file():
        return pd.DataFrame()
    text = dict.fromkeys(
        [*CELL, "group", "metric", "variant", "line", "setting", "swept_to", "reference", "other"], str
    )
    return pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])


def _asked(spec: PageSpec) -> list[str]:
    """What the study asked, in sentences."""
    config: Mapping[str, Any] = spec.config
    methods = [method_name(label) for label in ordered_methods(spec.grid.methods) if label not in FLOORS]
    benchmarks = [_benchmark(label, section) for label, section in config["benchmarks"].items()]
    models = [f"{label} ({section['dtype']})" for label, section in config["models"].items()]
    who = f"{len(methods)} methods edit" if len(methods) != 1 else "One method edits"
    sentences = [
        f"{who} facts into {_counted(models, 'model')}: {'; '.join(methods)}.",
        f"The facts are those of {_counted(benchmarks, 'benchmark')}.",
        *(_protocol(label, section) for label, section in config["protocols"].items()),
        *(f"{method_name(label)}: only {' and '.join(limit)}." for label, limit in spec.grid.limits.items()),
    ]
    if len(spec.grid.seeds) > 1:
        sentences.append(f"All of it is done with {len(spec.grid.seeds)} seeds.")
    return sentences


def _counted(names: Sequence[str], what: str) -> str:
    return (
        f"{len(names)} {what}{'s' if len(names) != 1 else ''}: {', '.join(names)}"
        if len(names) != 1
        else (f"one {what}, {names[0]}")
    )


def _benchmark(label: str, section: Mapping[str, Any]) -> str:
    limit = f"the first {section['limit']} records" if section["limit"] else "all records"
    return f"{label} ({limit} of the {section['split']} split)"


def _protocol(label: str, section: Mapping[str, Any]) -> str:
    size, length = section["size"], section["length"]
    together = "one edit" if size == 1 else f"{size} edits at once"
    only = f", on {', '.join(section['benchmarks'])}" if section["benchmarks"] else ""
    if length == 1:
        return f"{label.capitalize()}: {together} in an unedited model{only}."
    return f"{label.capitalize()}: {length} steps one after another in the same model, {together} a step{only}."
