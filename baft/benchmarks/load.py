"""From a file to a benchmark: the format recognised, every record used or reported."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from baft.benchmarks.drafts import Draft, Entry, Format, Unusable
from baft.benchmarks.formats import FORMATS, format_named, recognise
from baft.benchmarks.known_files import known_file, known_part
from baft.benchmarks.names import IGNORED, canonical, is_field, probe_field, suggestion
from baft.benchmarks.records import Benchmark, Record, Rejected, Remark
from baft.benchmarks.source import Source, read_source
from baft.benchmarks.tracking import Tracked
from baft.benchmarks.values import repaired, text
from baft.errors import UserError

ID_KEYS = ("case_id", "id")
_PURPOSES = {"tune": "tuning", "test": "final numbers, on which nothing is chosen"}
_LIST = re.compile(r"""\s*(\[\s*(['"\[{].*)?\]|\{\s*(['"].*)?\})\s*""", re.DOTALL)
"""A list or an object as Python or JSON writes it, in a cell of a table that was made of nested data."""


def load(
    path: Path,
    name: str,
    format: str = "auto",
    split: Literal["tune", "test"] = "tune",
    limit: int | None = None,
    sha256: str | None = None,
    skip: int = 0,
) -> Benchmark:
    """Read the benchmark file ``path`` and call it ``name``.

    With ``format="auto"`` the form is recognised from the content. ``skip`` leaves out the first so many records of the
    file. ``limit`` keeps the first so many usable records after them, and reports only what was read up to there. A record's
    id is its ``case_id`` or ``id``, else its position and a hash of its content; a repeated id gets a suffix. With
    ``sha256`` the file must have that hash.

    Raises:
        UserError: the file cannot be read, has another hash, has no known form, or has no usable record; an argument
            is not allowed.
    """
    if split not in ("tune", "test"):
        raise UserError(f"The split {split!r} of benchmark {name!r} is unknown; give tune or test.")
    if limit is not None and limit < 1:
        raise UserError(f"The limit of benchmark {name!r} is {limit}; give 1 or more, or none.")
    if skip < 0:
        raise UserError(f"The skip of benchmark {name!r} is {skip}; give 0 or more.")
    chosen = None if format == "auto" else format_named(format)
    source = read_source(path)
    if sha256 is not None and source.sha256 != sha256.lower():
        raise UserError(
            f"{path}: has SHA-256 {source.sha256}, not {sha256.lower()}; get the right file, or pin this one."
        )
    known = known_file(source.sha256)
    if known is not None and split == "test" and skip < known.tune:
        raise UserError(
            f"{path}: the first {known.tune} records of this file are for tuning: give skip: {known.tune}, or split: tune."
        )
    part = known_part(source.sha256)
    if part is not None and split != part.split:
        raise UserError(f"{path}: holds records for {_PURPOSES[part.split]}: give split: {part.split}.")
    items, repairs = _repaired(path, source)
    rows = [Tracked(item) if isinstance(item, dict) else None for item in items]
    renamed = _rename(rows)
    entries = [Entry(position, row) for position, row in enumerate(rows) if row is not None]
    found = chosen or recognise([entry.row for entry in entries])
    if found is None:
        raise UserError(_unknown_form(path, entries))
    contents = [_Content(*one) for one in zip(items, rows, source.lines, repairs, strict=True)]
    lists = list(_lists_as_text(path, contents))
    if skip and skip >= len(contents):
        raise UserError(f"{path}: has {len(contents)} records, and skip is {skip}: skip fewer.")
    records, rejected, remarks, read = _read(contents, entries, found, limit, skip)
    if not records:
        # Of Sanitation's rows those that keep their answer are no edits, and nothing is wrong with them.
        why = "none of its rows asks for an edit"
        if rejected:
            why = f"record {rejected[0].id} in line {rejected[0].line} {rejected[0].reason}"
        raise UserError(f"{path}: no record can be used as {found.name}; {why} ({_has(entries)}).")
    return Benchmark(
        name=name,
        format=found.name,
        revision=known.revision if known else found.revision(entries),
        split=split,
        sha256=source.sha256,
        records=tuple(records),
        rejected=tuple(rejected),
        remarks=tuple(remarks),
        # What is lost first, for a terminal shows only some.
        notes=(*_unread(read), *lists, *_joined(source), *renamed),
    )


@dataclass(frozen=True, slots=True)
class _Content:
    """An item of the file: as it is, as a row that knows what was read (None if it is no object), its line, its repairs."""

    item: Any
    row: Tracked | None
    line: int
    repairs: int


def _rename(rows: Sequence[Tracked | None]) -> list[str]:
    """Gives fields their known names ("Target New": ``target_new``), and says which."""
    names: dict[str, str] = {}
    for row in rows:
        for key in list(row or ()):
            name = canonical(key)
            if row is not None and not is_field(key) and is_field(name) and name not in row:
                row[name] = row.pop(key)
                names[key] = name
    return [f"the field {key!r} is read as {name!r}" for key, name in names.items()]


def _unknown_form(path: Path, entries: Sequence[Entry]) -> str:
    meant = {key: name for key in _keys(entries) if (name := suggestion(key)) in ("prompt", "target")}
    guess = "; rename " + " and ".join(f"{key!r} to {name!r}" for key, name in meant.items()) if meant else ""
    return (
        f"{path}: has none of the known forms ({', '.join(known.name for known in FORMATS)}): {_has(entries)}; for your own "
        f"file give the columns prompt and target{guess}."
    )


def _has(entries: Sequence[Entry]) -> str:
    keys = _keys(entries)
    return f"its records have {', '.join(map(repr, keys))}" if keys else "its records are no objects"


def _keys(entries: Sequence[Entry]) -> list[str]:
    """The first fields of the first records."""
    return sorted({key for entry in entries[:20] for key in entry.row})[:12]


def _lists_as_text(path: Path, contents: Sequence[_Content]) -> Iterator[str]:
    """A sentence a field of answers whose text is a list, which an answer may be. Raises UserError for one of prompts."""
    found: dict[str, list[int]] = {}
    for content in contents:
        for key, value in content.item.items() if isinstance(content.item, dict) else ():
            name = canonical(key)
            if not (isinstance(value, str) and is_field(name) and _LIST.fullmatch(value)):
                continue
            if name == "prompt" or probe_field(name):
                raise UserError(
                    f"{path}: the field {key!r} in line {content.line} has a list as its text ({value.strip()[:40]} …): "
                    "give each item a column of its own, such as rephrase and rephrase_2, or write the file as JSON."
                )
            found.setdefault(key, []).append(content.line)
    for key, lines in found.items():
        yield f"the field {key!r} has a list as its text, taken as one answer ({_records(lines)})"


def _records(lines: Sequence[int]) -> str:
    return f"{len(lines)} {'record' if len(lines) == 1 else 'records'}, first in line {lines[0]}"


def _joined(source: Source) -> Iterator[str]:
    if source.lists:
        names = ", ".join(map(repr, source.lists))
        yield f"the lists {names} are read one after another as one benchmark; to keep them apart, give each a file"


def _unread(contents: Sequence[_Content]) -> Iterator[str]:
    """A sentence a field that something stands in and that nothing read."""
    found: dict[str, list[int]] = {}
    for content in contents:
        for key in dict.fromkeys(content.row.unread() if content.row is not None else ()):
            if key not in ID_KEYS:
                found.setdefault(key, []).append(content.line)
    for key, lines in found.items():
        name = key.rpartition(".")[2]
        meant = "" if name in IGNORED or is_field(name) else suggestion(name)
        why = f": {IGNORED[name]}" if name in IGNORED else f"; did you mean {meant!r}?" if meant else ""
        yield f"the field {key!r} is not read ({_records(lines)}){why}"


def _repaired(path: Path, source: Source) -> tuple[list[Any], list[int]]:
    """The items without lone surrogates, and how many each had."""
    items, counts = [], []
    for item, line in zip(source.items, source.lines, strict=True):
        try:
            mended, count = repaired(item)
        except RecursionError as error:
            raise UserError(f"{path}: the record in line {line} is nested too deep to read; mend it.") from error
        items.append(mended)
        counts.append(count)
    return items, counts


def _read(
    contents: Sequence[_Content], entries: Sequence[Entry], found: Format, limit: int | None, skip: int
) -> tuple[list[Record], list[Rejected], list[Remark], list[_Content]]:
    """Records, those that cannot be used, remarks, and the items that became records."""
    parse = found.parser(entries)
    records: list[Record] = []
    rejected: list[Rejected] = []
    remarks: list[Remark] = []
    used: list[_Content] = []
    ids: set[str] = set()
    prompts: dict[str, tuple[Record, int]] = {}
    for position, content in enumerate(contents[skip:], start=skip):
        if limit is not None and len(records) == limit:
            break
        id, note = _unused(_own_id(content, position), ids)
        draft: Draft | None = None
        try:
            if content.row is None:
                raise Unusable("is not an object")
            draft = parse(Entry(position, content.row))
        except Unusable as reason:
            rejected.append(Rejected(id, str(reason), content.line))
        if draft is not None:
            record = draft.finished(id)
            notes = (*note, *_repair_note(content.repairs), *draft.remarks, *_rival_note(record, prompts))
            remarks += [Remark(id, remark, content.line) for remark in notes]
            records.append(record)
            used.append(content)
            prompts.setdefault(record.prompt, (record, content.line))
        ids.add(id)
    return records, rejected, remarks, used


def _rival_note(record: Record, prompts: Mapping[str, tuple[Record, int]]) -> Iterator[str]:
    if record.prompt in prompts:
        other, line = prompts[record.prompt]
        if other.target != record.target:
            yield (
                f"has the prompt of record {other.id} in line {line}, but another target: where one is edited after the "
                "other, the first is overwritten on purpose and left out of forgetting"
            )


def _own_id(content: _Content, position: int) -> str:
    row: Mapping[str, Any] = content.row or {}
    for key in ID_KEYS:
        if own := text(row.get(key)):
            return own
    whole = json.dumps(content.item, sort_keys=True, ensure_ascii=True).encode("ascii")
    return f"{position:05d}-{hashlib.sha256(whole).hexdigest()[:8]}"


def _unused(id: str, ids: set[str]) -> tuple[str, list[str]]:
    if id not in ids:
        return id, []
    number = 2
    while f"{id}-{number}" in ids:
        number += 1
    return f"{id}-{number}", [f"has the id {id} of an earlier record and is renamed"]


def _repair_note(count: int) -> Iterator[str]:
    if count:
        yield f"{count} lone surrogates replaced by U+FFFD"
