"""From a file to a benchmark: the format recognised, every record used or reported."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from baft.benchmarks.drafts import Draft, Entry, Format, Unusable
from baft.benchmarks.formats import FORMATS, format_named, recognise
from baft.benchmarks.known_files import known_file
from baft.benchmarks.records import Benchmark, Record, Rejected, Remark
from baft.benchmarks.source import Source, read_source
from baft.benchmarks.values import repaired, text
from baft.errors import UserError

ID_KEYS = ("case_id", "id")


def load(
    path: Path,
    name: str,
    format: str = "auto",
    split: Literal["tune", "test"] = "tune",
    limit: int | None = None,
    sha256: str | None = None,
) -> Benchmark:
    """Read the benchmark file ``path`` and call it ``name``.

    With ``format="auto"`` the form is recognised from the content. ``limit`` keeps the first so many usable records,
    and reports only what was read up to there. A record's id is its ``case_id`` or ``id``, else its position and a hash
    of its content; a repeated id gets a suffix. With ``sha256`` the file must have that hash.

    Raises:
        UserError: the file cannot be read, has another hash, has no known form, or has no usable record; an argument
            is not allowed.
    """
    if split not in ("tune", "test"):
        raise UserError(f"The split {split!r} of benchmark {name!r} is unknown; give tune or test.")
    if limit is not None and limit < 1:
        raise UserError(f"The limit of benchmark {name!r} is {limit}; give 1 or more, or none.")
    chosen = None if format == "auto" else format_named(format)
    source = read_source(path)
    if sha256 is not None and source.sha256 != sha256.lower():
        raise UserError(
            f"{path}: has SHA-256 {source.sha256}, not {sha256.lower()}; get the right file, or pin this one."
        )
    items, repairs = _repaired(path, source)
    entries = [Entry(position, item) for position, item in enumerate(items) if isinstance(item, dict)]
    found = chosen or recognise([entry.row for entry in entries])
    if found is None:
        raise UserError(
            f"{path}: has none of the known forms ({', '.join(known.name for known in FORMATS)}); for your own file "
            "give the columns prompt and target."
        )
    records, rejected, remarks = _read(items, entries, repairs, found, limit)
    if not records:
        # Of Sanitation's rows those that keep their answer are no edits, and nothing is wrong with them.
        why = f"record {rejected[0].id} {rejected[0].reason}" if rejected else "none of its rows asks for an edit"
        raise UserError(f"{path}: no record can be used as {found.name}; {why}.")
    known = known_file(source.sha256)
    return Benchmark(
        name=name,
        format=found.name,
        revision=known.revision if known else found.revision(entries),
        split=split,
        sha256=source.sha256,
        records=tuple(records),
        rejected=tuple(rejected),
        remarks=tuple(remarks),
    )


def _repaired(path: Path, source: Source) -> tuple[list[Any], list[int]]:
    """The items without lone surrogates, and how many each had."""
    items, counts = [], []
    for position, item in enumerate(source.items):
        try:
            mended, count = repaired(item)
        except RecursionError as error:
            raise UserError(f"{path}: record {position} (from 0) is nested too deep to read; mend it.") from error
        items.append(mended)
        counts.append(count)
    return items, counts


def _read(
    items: list[Any], entries: list[Entry], repairs: list[int], found: Format, limit: int | None
) -> tuple[list[Record], list[Rejected], list[Remark]]:
    parse = found.parser(entries)
    records: list[Record] = []
    rejected: list[Rejected] = []
    remarks: list[Remark] = []
    ids: set[str] = set()
    for position, item in enumerate(items):
        if limit is not None and len(records) == limit:
            break
        id, note = _unused(_own_id(item, position), ids)
        draft: Draft | None = None
        try:
            if not isinstance(item, dict):
                raise Unusable("is not an object")
            draft = parse(Entry(position, item))
        except Unusable as reason:
            rejected.append(Rejected(id, str(reason)))
        if draft is not None:
            records.append(draft.finished(id))
            remarks += [Remark(id, remark) for remark in (*note, *_repair_note(repairs[position]), *draft.remarks)]
        ids.add(id)
    return records, rejected, remarks


def _own_id(item: Any, position: int) -> str:
    if isinstance(item, dict):
        for key in ID_KEYS:
            if own := text(item.get(key)):
                return own
    content = json.dumps(item, sort_keys=True, ensure_ascii=True).encode("ascii")
    return f"{position:05d}-{hashlib.sha256(content).hexdigest()[:8]}"


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
