"""Reading a benchmark file into objects: JSON, JSON Lines, CSV or TSV."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baft.errors import UserError

# Longer than any file this can read; the module's own limit is 131,072 characters a field.
CSV_FIELD_LIMIT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Source:
    """The items of a file in their order, of any type, and the SHA-256 of its bytes."""

    items: tuple[Any, ...]
    sha256: str


def read_source(path: Path) -> Source:
    """Read ``path``: ``.csv``, ``.tsv`` and ``.jsonl`` by their names, everything else as JSON or else as JSON Lines.

    A JSON file is a list of records, or an object whose values are such lists (one after another in its order).

    Raises:
        UserError: the file is missing, is not UTF-8, is broken, or is not a list of records.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}.") from error
    try:
        decoded = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    items = _items(path, decoded)
    if not items:
        raise UserError(f"{path}: holds no records.")
    return Source(tuple(items), hashlib.sha256(content).hexdigest())


def _items(path: Path, decoded: str) -> list[Any]:
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return _separated(path, decoded, "\t" if suffix == ".tsv" else ",")
    if suffix in (".jsonl", ".ndjson") or _looks_like_lines(decoded):
        return _lines(path, decoded)
    return _whole(path, decoded)


def _whole(path: Path, decoded: str) -> list[Any]:
    try:
        data = json.loads(decoded)
    except json.JSONDecodeError as error:
        after = _whole_records(decoded)
        raise UserError(
            f"{path}: is not whole JSON: {error.msg} at line {error.lineno}, column {error.colno}, after {after} whole "
            "records; get the file again."
        ) from error
    except (RecursionError, ValueError) as error:
        raise UserError(f"{path}: holds values that are nested too deep or too long to read.") from error
    if isinstance(data, list):
        return data
    if isinstance(data, dict) and data and all(isinstance(value, list) for value in data.values()):
        return [item for value in data.values() for item in value]
    raise UserError(f"{path}: is not a list of records, nor an object of such lists.")


def _whole_records(decoded: str) -> int:
    """How many elements of a broken JSON list can be read."""
    decoder, position, count = json.JSONDecoder(), decoded.find("[") + 1, 0
    while 0 < position < len(decoded):
        position += len(decoded[position:]) - len(decoded[position:].lstrip(" \t\r\n,"))
        try:
            _, position = decoder.raw_decode(decoded, position)
        except (ValueError, RecursionError):
            break
        count += 1
    return count


def _looks_like_lines(decoded: str) -> bool:
    first, _, rest = decoded.lstrip().partition("\n")
    if not first.startswith("{") or not rest.lstrip().startswith("{"):
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return True


def _lines(path: Path, decoded: str) -> list[Any]:
    items = []
    # Not splitlines: that also splits at characters which JSON allows inside a string.
    for number, line in enumerate(decoded.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            items.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: line {number} is not whole JSON ({error}).") from error
    return items


def _separated(path: Path, decoded: str, delimiter: str) -> list[Any]:
    try:
        with _long_fields():
            rows = list(csv.reader(io.StringIO(decoded, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise UserError(f"{path}: is broken CSV: {error}.") from error
    if not rows:
        return []
    header = [name.strip() for name in rows[0]]
    if len(set(header)) != len(header):
        raise UserError(f"{path}: two columns have the same name; number them (rephrase, rephrase_2).")
    items: list[Any] = []
    for number, row in enumerate(filter(None, rows[1:]), start=1):
        if len(row) != len(header):
            raise UserError(f"{path}: record {number} has {len(row)} fields where the header has {len(header)}.")
        items.append(dict(zip(header, row, strict=True)))
    return items


@contextmanager
def _long_fields() -> Iterator[None]:
    before = csv.field_size_limit(CSV_FIELD_LIMIT)
    try:
        yield
    finally:
        csv.field_size_limit(before)
