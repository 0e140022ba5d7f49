"""Reading a benchmark file into records: JSON, JSON Lines, CSV or TSV, as it is or compressed."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import hashlib
import io
import json
import lzma
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from baft.benchmarks.names import canonical, is_field
from baft.benchmarks.values import Number
from baft.errors import UserError

# Longer than any file this can read; the module's own limit is 131,072 characters a field.
CSV_FIELD_LIMIT = 2**31 - 1
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_COMPRESSED = {b"\x1f\x8b": gzip.decompress, b"BZh": bz2.decompress, b"\xfd7zXZ\x00": lzma.decompress}
_OTHER_FILES = {
    b"PK\x03\x04": "a zip archive or a spreadsheet; unpack it, or save it as CSV",
    b"PAR1": "a parquet file; write its rows as JSON Lines, with DataFrame.to_json(orient='records', lines=True)",
    b"\x80\x04\x95": "a pickle; write its records as JSON",
    b"version https://git-lfs": "a pointer of Git LFS; get the file itself with `git lfs pull`",
}
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True, slots=True)
class Source:
    """The items of a file in their order, of any type, the line that each begins at, and the SHA-256 of its bytes.

    ``lists`` are the names of the lists that follow one another in it, where it is an object of several.
    """

    items: tuple[Any, ...]
    lines: tuple[int, ...]
    sha256: str
    lists: tuple[str, ...] = ()


class Found(NamedTuple):
    """Items, their lines, and the names of the lists that they are in, if there are several."""

    items: list[Any]
    lines: list[int]
    lists: tuple[str, ...] = ()


def read_source(path: Path) -> Source:
    """Read ``path``: CSV or TSV by its name or its heading, everything else as JSON or JSON Lines by its content.

    JSON is a list of records, records one after another (one a line, or not), one record, an object of lists of records
    (one list after another), or an object of columns. CSV may be separated by commas, semicolons, tabs or bars. Text is
    UTF-8, or UTF-16 or UTF-32 with a byte order mark; the file may be compressed with gzip, bzip2 or xz. Numbers keep
    the text that they have in the file (:class:`~baft.benchmarks.values.Number`).

    Raises:
        UserError: the file is missing, is no such text, is broken, or is not a list of records.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}.") from error
    text = _decoded(path, _decompressed(path, content))
    delimiter = _delimiter(path, text)
    found = _separated(path, text, delimiter) if delimiter else _json(path, text)
    if not found.items:
        raise UserError(f"{path}: holds no records.")
    return Source(tuple(found.items), tuple(found.lines), hashlib.sha256(content).hexdigest(), found.lists)


def _decompressed(path: Path, content: bytes) -> bytes:
    for magic, what in _OTHER_FILES.items():
        if content.startswith(magic):
            raise UserError(f"{path}: is {what}.")
    for magic, decompress in _COMPRESSED.items():
        if content.startswith(magic):
            try:
                return decompress(content)
            except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
                raise UserError(f"{path}: is compressed and broken ({error}); get the file again.") from error
    return content


def _decoded(path: Path, content: bytes) -> str:
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        name = encoding.removesuffix("-sig").upper()
        raise UserError(f"{path}: is not {name} text (byte {error.start}, line {line}); save it as UTF-8.") from error


def _json(path: Path, text: str) -> Found:
    """Items of JSON values that follow one another, and their lines."""
    decoder = json.JSONDecoder(
        object_pairs_hook=_object, parse_float=Number, parse_int=_integer, parse_constant=_constant
    )
    values: list[Any] = []
    starts: list[int] = []
    position = _skipped(text, 0)
    while position < len(text):
        starts.append(position)
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise UserError(_broken(path, text, starts, error)) from error
        except RecursionError as error:
            line = text.count("\n", 0, starts[-1]) + 1
            raise UserError(f"{path}: holds values that are nested too deep to read, from line {line} on.") from error
        except _Told as error:
            # A repeated key or a number too long: said without its place, which only the items' lines give.
            raise UserError(
                f"{path}: {error} (in the value that begins at line {text.count(chr(10), 0, starts[-1]) + 1})."
            ) from error
        values.append(value)
        position = _skipped(text, position)
    if not values:
        raise UserError(f"{path}: is empty, where JSON, JSON Lines or CSV is expected; get the file again.")
    if len(values) > 1:
        return Found(values, _lines(text, starts))
    return _of_one(path, text, values[0])


class _Told(ValueError):
    """What is wrong with a value that is JSON all the same."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Told(f"an object has the key {twice!r} twice; keep one")
    return found


def _integer(literal: str) -> Any:
    # int would forget the sign of -0, and refuses some thousands of digits.
    return Number(literal) if literal == "-0" or len(literal) > 300 else int(literal)


def _constant(name: str) -> float:
    return float(name)


def _skipped(text: str, position: int) -> int:
    """The place of the next value: after white space, and a comma where a list has lost its brackets."""
    found = _GAP.match(text, position)
    return found.end() if found else position


_GAP = re.compile(r"[\s\x1e]*")


def _of_one(path: Path, text: str, value: Any) -> Found:
    if isinstance(value, list):
        return Found(value, _lines(text, _starts(text, text.index("["))))
    if isinstance(value, dict) and value:
        lists = [item for item in value.values() if isinstance(item, list)]
        if len(lists) == len(value) and any(isinstance(item, dict) for one in lists for item in one):
            names = tuple(value) if len(value) > 1 else ()
            return Found([item for one in lists for item in one], _lines(text, list(_starts_of_lists(text))), names)
        if columns := _columns(value):
            return Found(columns, [1] * len(columns))
        return Found([value], [text.count("\n", 0, text.index("{")) + 1])
    raise UserError(f"{path}: is not a list of records, nor an object of such lists.")


def _columns(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Records of an object of columns, each a list or (as pandas writes them) an object by row; none if it is no such."""
    columns: dict[str, list[Any]] = {}
    rows: list[str] | None = None
    for name, column in value.items():
        if isinstance(column, dict):
            if rows is not None and list(column) != rows:
                return []
            rows = list(column)
            column = list(column.values())
        if not isinstance(column, list):
            return []
        columns[name] = column
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1 or not {"prompt", "src", "question"} & columns.keys():
        return []
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _starts(text: str, opening: int) -> list[int]:
    """Where the elements of the list that begins at ``opening`` begin."""
    decoder, starts, position = json.JSONDecoder(), list[int](), opening + 1
    while (position := _past(text, position)) < len(text) and text[position] != "]":
        starts.append(position)
        try:
            _, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            break
    return starts


def _starts_of_lists(text: str) -> Iterator[int]:
    """Where the elements of the lists begin that are the values of one object."""
    decoder, position = json.JSONDecoder(), text.index("{") + 1
    while (position := _past(text, position)) < len(text) and text[position] != "}":
        _, position = decoder.raw_decode(text, position)
        opening = text.index("[", position)
        yield from _starts(text, opening)
        _, position = decoder.raw_decode(text, opening)


def _past(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n,":
        position += 1
    return position


def _lines(text: str, starts: list[int]) -> list[int]:
    lines, line, before = [], 1, 0
    for start in starts:
        line += text.count("\n", before, start)
        before = start
        lines.append(line)
    return lines


def _broken(path: Path, text: str, starts: list[int], error: json.JSONDecodeError) -> str:
    where = f"{error.msg} at line {error.lineno}, column {error.colno}"
    if text.lstrip()[:1] not in ("{", "["):
        return (
            f"{path}: is neither JSON ({where}) nor CSV with a heading that is known; give JSON, JSON Lines, or CSV with "
            "the columns prompt and target."
        )
    if len(starts) == 1 and text[starts[0]] == "[":
        return f"{path}: is not whole JSON: {where}, after {len(_whole(text, starts[0]))} whole records; get the file again."
    line = text.count("\n", 0, starts[-1]) + 1
    return f"{path}: line {line} is not whole JSON ({where}); mend it, or get the file again."


def _whole(text: str, opening: int) -> list[int]:
    """Where the elements of a broken list begin that can be read."""
    starts = _starts(text, opening)
    try:
        json.JSONDecoder().raw_decode(text, starts[-1])
    except (IndexError, ValueError, RecursionError):
        return starts[:-1]
    return starts


def _delimiter(path: Path, text: str) -> str | None:
    """What separates the file's columns; None where it is JSON.

    The name says whether it is CSV, or else the heading; the heading says what the delimiter is.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    usual = "\t" if ".tsv" in suffixes or ".tab" in suffixes else ","
    named = ".csv" in suffixes or usual == "\t"
    if not named and (not text.strip() or text.lstrip()[0] in "[{"):
        return None
    start = text.lstrip("\r\n")
    headings = {}
    for delimiter in _DELIMITERS:
        try:
            headings[delimiter] = next(
                csv.reader(io.StringIO(start[:100_000]), delimiter=delimiter, skipinitialspace=True), []
            )
        except csv.Error:
            headings[delimiter] = []

    def fit(delimiter: str) -> tuple[int, bool]:
        known = sum(is_field(canonical(name)) for name in headings[delimiter])
        return known, delimiter == usual

    best = max(_DELIMITERS, key=fit)
    if named:
        return best
    return best if fit(best)[0] >= 2 else None


def _separated(path: Path, text: str, delimiter: str) -> Found:
    # A blank before a quotation mark is no part of the value, nor is the mark.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    header: list[str] = []
    items: list[Any] = []
    lines: list[int] = []
    start = 1
    try:
        with _long_fields():
            for row in reader:
                if row and not header:
                    header = _header(path, row)
                elif row:
                    if len(row) != len(header):
                        raise UserError(
                            f"{path}: line {start} (record {len(items) + 1}) has {len(row)} fields where the header has "
                            f"{len(header)}, separated by {_DELIMITERS[delimiter]}; put text with such a mark in quotes."
                        )
                    items.append(dict(zip(header, row, strict=True)))
                    lines.append(start)
                start = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path}: is broken CSV from line {start} on: {error}.") from error
    return Found(items, lines)


def _header(path: Path, row: list[str]) -> list[str]:
    header = [name.strip() for name in row]
    if twice := [name for name in header if header.count(name) > 1]:
        raise UserError(f"{path}: two columns have the same name, {twice[0]!r}; number them (rephrase, rephrase_2).")
    return header


@contextmanager
def _long_fields() -> Iterator[None]:
    before = csv.field_size_limit(CSV_FIELD_LIMIT)
    try:
        yield
    finally:
        csv.field_size_limit(before)
