"""The page of answers: record by record and probe by probe, what the unedited model and each method said."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from baft.benchmarks.records import KINDS
from baft.benchmarks.store import read_benchmark
from baft.config import Grid, PageSpec, at
from baft.config.layout import Layout
from baft.report.answers import Asked, read_answers
from baft.report.labels import UNEDITED, method_name, ordered_benchmarks, ordered_methods
from baft.report.page.html import library, write_page
from baft.report.rendering import visible

ANSWERS = 40_000
"""Answers that the page has at most; of more, those of as many records of each benchmark as keep to it."""

_BYTES = 6_000_000


def write_answers(spec: PageSpec, out: Path, without: Collection[Path] = ()) -> Path:
    """Write the page of the answers of a study to ``out``; return its path.

    All records are on it, or else the first so many of each benchmark. Of several seeds it shows the first. The cells of
    the record files ``without`` are left out.
    """
    grid = spec.grid
    sizes = {label: _sizes(grid, label) for label in grid.benchmarks if _prepared(grid, label).is_file()}
    count = _records_that_fit(grid, sizes)
    asked, content = _read(grid, sizes, count, without)
    # Long answers, as of many new tokens.
    while len(content) > _BYTES and count > 1:
        count = max(1, count // 2)
        asked, content = _read(grid, sizes, count, without)
    return write_page(
        "answers.html",
        out,
        title=f"{spec.config['study']}: every answer",
        study=str(spec.config["study"]),
        sample=[
            {"benchmark": label, "shown": min(count, len(sizes[label])), "all": len(sizes[label])}
            for label in ordered_benchmarks(sizes)
        ],
        sampled=any(len(own) > count for own in sizes.values()),
        seed=grid.seeds[0] if len(grid.seeds) > 1 else None,
        results=grid.results,
        methods=[method_name(label) for label in _methods(grid)],
        kinds=[kind for kind in KINDS if any(one.kind == kind for one in asked)],
        # As part of a script it must not end it.
        data=Markup(content.replace("<", "\\u003c")),
        library=library(),
    )


def _read(
    grid: Grid, sizes: Mapping[str, Mapping[str, int]], count: int, without: Collection[Path]
) -> tuple[list[Asked], str]:
    """The answers to the probes of the first ``count`` records of each benchmark, and the same as JSON."""
    layout, seed = Layout(grid.results, ""), grid.seeds[0]
    cells = [
        {"model": model, "protocol": protocol, "benchmark": benchmark, "method": method}
        for model in grid.models
        for protocol, benchmarks in grid.protocols.items()
        for benchmark in ordered_benchmarks(benchmarks)
        for method in _methods(grid, protocol)
        if benchmark in sizes and at(layout.base, model=model, benchmark=benchmark).is_file()
    ]
    cells = [cell for cell in cells if at(layout.record, seed=seed, **cell) not in without]
    asked = read_answers(Path(grid.results), cells, {label: list(ids)[:count] for label, ids in sizes.items()}, seed)
    return asked, json.dumps(_content(asked, _methods(grid)), ensure_ascii=False, separators=(",", ":"))


def _content(asked: Sequence[Asked], methods: Sequence[str]) -> dict[str, Any]:
    """What the page's script is given. Labels are told once, and referred to by their places."""
    places = list(dict.fromkeys((one.model, one.protocol, one.benchmark) for one in asked))
    number = {place: index for index, place in enumerate(places)}
    column = {label: index for index, label in enumerate(methods)}
    several = len({model for model, _, _ in places}) > 1
    return {
        "places": [
            {
                "model": model,
                "protocol": protocol,
                "benchmark": benchmark,
                "name": f"{benchmark}, {protocol}{f', {model}' if several else ''}",
            }
            for model, protocol, benchmark in places
        ],
        "methods": [{"label": label, "name": method_name(label)} for label in methods],
        "probes": [
            {
                "place": number[one.model, one.protocol, one.benchmark],
                "record": visible(one.record),
                "kind": one.kind,
                "group": visible(one.group),
                "prompt": visible(one.prompt),
                "accepted": [visible(text) for text in one.accepted],
                "answers": [
                    [
                        column[answer.method],
                        None if answer.decoded is None else visible(answer.decoded),
                        answer.right,
                        None if answer.forced is None else round(100 * answer.forced),
                        # Rounding must not make an answer right.
                        answer.forced is not None and answer.forced == 1,
                        visible(answer.note),
                    ]
                    for answer in one.given
                ],
            }
            for one in asked
        ],
    }


def _methods(grid: Grid, protocol: str | None = None) -> list[str]:
    """The unedited model, whether or not the study has it as a method, and the methods; of a protocol if one is given."""
    methods = [label for label in grid.methods if protocol is None or grid.runs(label, protocol)]
    return [UNEDITED, *(label for label in ordered_methods(methods) if label != UNEDITED)]


def _prepared(grid: Grid, benchmark: str) -> Path:
    return at(Layout(grid.results, "").benchmark, benchmark=benchmark)


def _sizes(grid: Grid, benchmark: str) -> dict[str, int]:
    """The records of a benchmark in their order, with how many answers the page has of each."""
    there = [protocol for protocol, benchmarks in grid.protocols.items() if benchmark in benchmarks]
    runs = sum(len(_methods(grid, protocol)) for protocol in there) * len(grid.models)
    records = read_benchmark(_prepared(grid, benchmark)).records
    return {record.id: len(record.probes) * runs for record in records}


def _records_that_fit(grid: Grid, sizes: Mapping[str, Mapping[str, int]]) -> int:
    """How many records of each benchmark the page may have; one at least."""
    most = max((len(own) for own in sizes.values()), default=1)
    counts = [list(own.values()) for own in sizes.values()]
    total = 0
    for count in range(most):
        total += sum(own[count] for own in counts if count < len(own))
        if total > ANSWERS:
            return max(1, count)
    return max(1, most)
