"""What the unedited model and every method answered, probe by probe; as a terminal shows it, and for the page of answers."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from baft.benchmarks.records import KINDS
from baft.config.layout import Layout, at
from baft.config.sweeps import line_of
from baft.errors import UserError
from baft.report.labels import UNEDITED, method_name, ordered_benchmarks, ordered_methods
from baft.report.rendering import HOLE, visible
from baft.results.schema import MOMENTS
from baft.results.store import PART, read_partition_values, read_table

FIRST = 3
"""Records of a benchmark that a terminal shows if none is named."""

_PROBE = ["record_id", "kind", "group", "index", "prompt", "answers"]
_BASE = ["decoded", "token_accuracy", "starts_with", "error"]
_EDITED = [*_BASE, "moment", "agreement", "same_string", "sentiment", "fluency"]
_CELL = ("model", "protocol", "benchmark", "method")
# Kinds of probe that an accepted answer answers.
_ANSWERED = ("reliability", "generality", "portability")


@dataclass(frozen=True, slots=True)
class Answer:
    """What one model answered to a probe; ``method`` is a label, :data:`UNEDITED` of the model before any edit.

    ``decoded`` is the text, None where there is none. ``forced`` is the share of forced answer positions that are right, and
    ``right`` whether the decoded answer is: one that is accepted; for a probe of locality, the unedited model's. Both are
    None where a probe has no right answer, or was not measured. ``note`` says what else there is: an error, a sentiment.
    """

    method: str
    decoded: str | None
    forced: float | None = None
    right: bool | None = None
    note: str = ""


@dataclass(slots=True)
class Asked:
    """A probe of a record under one protocol, and all ``given`` answers, that of the unedited model first."""

    model: str
    protocol: str
    benchmark: str
    record: str
    kind: str
    group: str
    index: int
    prompt: str
    accepted: tuple[str, ...]
    given: list[Answer] = field(default_factory=list)


def read_answers(
    results: Path, cells: Sequence[Mapping[str, str]], records: Mapping[str, Sequence[str]], seed: int
) -> list[Asked]:
    """The probes of ``records`` (ids by benchmark) with the answers of ``cells``, in the order of the records.

    ``cells`` have a ``model``, ``protocol``, ``benchmark`` and ``method`` each, and those that have not been run are left
    out. Answers are the last that a stream's model was asked for: after its last edit. The unedited model's come first.
    """
    asked: dict[tuple[str, str, str], dict[tuple[Any, ...], Asked]] = {}
    for cell in cells:
        place = (cell["model"], cell["protocol"], cell["benchmark"])
        if place not in asked:
            asked[place] = _unedited(results, place, records[place[2]])
        if cell["method"] != UNEDITED:
            for row in _edited(results, cell, records[place[2]], seed):
                probe = asked[place].get(_key(row))
                if probe is not None:
                    probe.given.append(_answer(cell["method"], row))
    return [probe for probes in asked.values() for probe in probes.values()]


def _unedited(results: Path, place: tuple[str, str, str], records: Sequence[str]) -> dict[tuple[Any, ...], Asked]:
    model, protocol, benchmark = place
    path = at(Layout(str(results), "").base, model=model, benchmark=benchmark)
    order = {record: number for number, record in enumerate(records)}
    rows = sorted(_rows(path, records, _BASE), key=lambda row: (order[row["record_id"]], KINDS.index(row["kind"])))
    found = {}
    for row in rows:
        about = (row["record_id"], row["kind"], row["group"], row["index"], row["prompt"], tuple(row["answers"]))
        asked = Asked(model, protocol, benchmark, *about)
        asked.given.append(_answer(UNEDITED, row))
        found[_key(row)] = asked
    return found


def _edited(results: Path, cell: Mapping[str, str], records: Sequence[str], seed: int) -> Iterator[dict[str, Any]]:
    """The last row of each probe. Shards are read in their order, until all records are there."""
    folder = at(Layout(str(results), "").probes.partition("/shard=")[0], seed=seed, **cell)
    left = set(records)
    for path in sorted(folder.glob(f"shard=*/{PART}"), key=lambda path: int(read_partition_values(path)["shard"])):
        last: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in sorted(_rows(path, records, _EDITED), key=lambda row: MOMENTS.index(row["moment"])):
            last[_key(row)] = row
        yield from last.values()
        left -= {row["record_id"] for row in last.values()}
        if not left:
            return


def _rows(path: Path, records: Sequence[str], columns: list[str]) -> list[dict[str, Any]]:
    table = read_table([path], [*_PROBE, *columns])
    rows: list[dict[str, Any]] = table.filter(pc.is_in(table["record_id"], value_set=pa.array(records))).to_pylist()
    return rows


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["record_id"], row["kind"], row["group"], row["index"]


def _answer(method: str, row: Mapping[str, Any]) -> Answer:
    kind = row["kind"]
    if row["error"]:
        return Answer(method, row["decoded"], note=row["error"])
    if kind in _ANSWERED:
        return Answer(method, row["decoded"], _number(row["token_accuracy"]), row["starts_with"])
    if kind == "locality" and method != UNEDITED:
        return Answer(method, row["decoded"], _number(row["agreement"]), row["same_string"])
    notes = [
        f"{name} {value:.3g}" for name in ("sentiment", "fluency") if (value := _number(row.get(name))) is not None
    ]
    return Answer(method, row["decoded"], note=", ".join(notes))


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def answers_text(results: Path, wanted: Mapping[str, Sequence[str]], records: Sequence[str], seed: int | None) -> str:
    """The answers for a terminal, of all cells under ``results`` that are ``wanted``.

    ``wanted`` has labels by ``model``, ``method``, ``protocol`` and ``benchmark``, and kinds of probe by ``kind``; an empty
    list wants all, but swept points only if they are named. Without ``records`` they are the first of each benchmark, and
    without ``seed`` it is the lowest. Raises :class:`UserError` if there are no such answers.
    """
    seed = _lowest_seed(results) if seed is None else seed
    cells = _cells(results, wanted, seed)
    chosen, more = _records(results, list(dict.fromkeys(cell["benchmark"] for cell in cells)), records)
    asked = read_answers(results, [cell for cell in cells if cell["benchmark"] in chosen], chosen, seed)
    kinds = wanted.get("kind")
    lines = [*_lines([one for one in asked if not kinds or one.kind in kinds])]
    if not lines:
        raise UserError(f"No record has a probe of the kind {' or '.join(kinds or KINDS)}.")
    return "\n".join([*lines, *more]).rstrip()


def _lowest_seed(results: Path) -> int:
    pattern = "/".join(f"{name}=*" for name in ("model", "method", "protocol", "benchmark", "seed"))
    seeds = [int(read_partition_values(folder)["seed"]) for folder in (results / "probes").glob(pattern)]
    if not seeds:
        raise UserError(f"There are no answers under {results / 'probes'}; run a study first.")
    return min(seeds)


def _cells(results: Path, wanted: Mapping[str, Sequence[str]], seed: int) -> list[dict[str, str]]:
    pattern = "/".join(f"{name}=*" for name in ("model", "method", "protocol", "benchmark"))
    folders = (results / "probes").glob(f"{pattern}/seed={seed}")
    there = [{name: read_partition_values(folder)[name] for name in _CELL} for folder in folders]
    if not there:
        raise UserError(f"There are no answers under {results / 'probes'} with seed {seed}; run a study first.")
    for name in _CELL:
        labels = {cell[name] for cell in there}
        if missing := [label for label in wanted.get(name, ()) if label not in labels]:
            raise UserError(f"--{name} is {missing[0]!r}, but there are only {', '.join(sorted(labels))}.")
    found = [cell for cell in there if all(cell[name] in (wanted.get(name) or [cell[name]]) for name in _CELL)]
    if not wanted.get("method"):
        found = [cell for cell in found if line_of(cell["method"]) == cell["method"]]
    benchmarks = {label: place for place, label in enumerate(ordered_benchmarks(cell["benchmark"] for cell in found))}
    methods = {label: place for place, label in enumerate(ordered_methods(cell["method"] for cell in found))}
    if not found:
        raise UserError("These labels have no cell in common that has been run.")
    return sorted(
        found,
        key=lambda cell: (cell["model"], cell["protocol"], benchmarks[cell["benchmark"]], methods[cell["method"]]),
    )


def _records(
    results: Path, benchmarks: Sequence[str], records: Sequence[str]
) -> tuple[dict[str, list[str]], list[str]]:
    """By benchmark the ids to show, and lines about those that are not shown."""
    every = {label: record_ids(results, label) for label in benchmarks}
    if records:
        chosen = {label: [one for one in ids if one in records] for label, ids in every.items()}
        if missing := [one for one in records if not any(one in ids for ids in every.values())]:
            some = ", ".join(id for ids in every.values() for id in ids[:FIRST])
            raise UserError(f"--record is {missing[0]!r}, but no benchmark shown has it; there are {some} and others.")
        return {label: ids for label, ids in chosen.items() if ids}, []
    more = [
        f"{label}: {len(ids) - FIRST} more records; name one with --record, as {ids[FIRST]}."
        for label, ids in every.items()
        if len(ids) > FIRST
    ]
    return {label: ids[:FIRST] for label, ids in every.items()}, more


def record_ids(results: Path, benchmark: str) -> list[str]:
    """The ids of a prepared benchmark's records, in their order."""
    ids: list[str] = read_table([at(Layout(str(results), "").benchmark, benchmark=benchmark)], ["id"])["id"].to_pylist()
    return ids


def _lines(asked: Sequence[Asked]) -> Iterator[str]:
    by_record: dict[tuple[str, str, str, str], list[Asked]] = defaultdict(list)
    for one in asked:
        by_record[one.model, one.protocol, one.benchmark, one.record].append(one)
    for (model, protocol, benchmark, record), probes in by_record.items():
        yield f"{visible(record)} ({benchmark}, {protocol} editing of {model})"
        for probe in probes:
            yield f"  {probe.kind}{f', {visible(probe.group)}' if probe.group else ''}: {visible(probe.prompt)}"
            if probe.accepted:
                label = "forced answer" if probe.kind == "locality" else "asked for"
                yield f"    {label}: {' | '.join(map(visible, probe.accepted))}"
            width = max(len(method_name(answer.method)) for answer in probe.given)
            for answer in probe.given:
                yield f"      {method_name(answer.method):<{width}}  {_line(answer)}"
        yield ""


def _line(answer: Answer) -> str:
    mark = {True: "right", False: "wrong", None: "     "}[answer.right]
    forced = "" if answer.forced is None else f"forced {100 * answer.forced:.0f} %"
    said = HOLE if answer.decoded is None else visible(answer.decoded)
    return f"{mark}  {forced:<12}  {said}" + (f"  ({visible(answer.note)})" if answer.note else "")
