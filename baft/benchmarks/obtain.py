"""The files that the shipped studies read, made from public ones: downloaded, or found by content in a folder."""

from __future__ import annotations

import hashlib
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from baft.benchmarks.hub import download
from baft.benchmarks.known_files import PARTS, KnownFile, Part
from baft.errors import UserError
from baft.files import replacing

LARGEST = 2**29
"""Bytes of the largest file that is looked into."""

_COMMIT = re.compile(r"[0-9a-f]{40}")


def fetch(name: str, into: Path, folder: Path | None = None) -> None:
    """Make the files of the set ``name`` of :data:`~baft.benchmarks.known_files.PARTS` in the folder ``into``.

    They are taken from files anywhere in ``folder``, whatever these are called, or downloaded if no folder is given. Each is
    written only if its records are the expected ones; one that is there already is left alone. What happens is printed.
    Raises :class:`~baft.errors.UserError` if there is no such set, or one of its files cannot be had.
    """
    if name not in PARTS:
        raise UserError(f"There is no set of benchmark files {name!r}; give one of {', '.join(PARTS)}.")
    wanted = [part for part in PARTS[name] if not _is_there(part, into)]
    missing = _from_folder(wanted, into, folder) if folder is not None else _downloaded(wanted, into)
    if missing:
        raise UserError(f"{len(missing)} of {len(PARTS[name])} files of {name} are missing: {'; '.join(missing)}.")


def _is_there(part: Part, into: Path) -> bool:
    path = into / part.path
    if not path.is_file():
        return False
    if hashlib.sha256(path.read_bytes()).hexdigest() != part.sha256:
        raise UserError(f"{path} has other content than expected; move it away, or give another folder.")
    print(f"{path}: there already")
    return True


def _from_folder(wanted: Sequence[Part], into: Path, folder: Path) -> list[str]:
    """Makes what the files in ``folder`` allow; gives a phrase on each part that they do not."""
    if not folder.is_dir():
        raise UserError(f"--from is {str(folder)!r}, but must be a folder that exists.")
    left = list(wanted)
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size <= LARGEST):
        if not left:
            break
        items = _items(file.read_bytes())
        for part in [part for part in left if _write(part, items, into, str(file))]:
            left.remove(part)
    return [f"no file in {folder} holds the {part.count} records of {part.path} ({_where(part.of)})" for part in left]


def _downloaded(wanted: Sequence[Part], into: Path) -> list[str]:
    """Downloads each public file once and makes its parts; gives a phrase on each part that cannot be made."""
    missing = []
    for known in dict.fromkeys(part.of for part in wanted):
        parts = [part for part in wanted if part.of == known]
        try:
            content, origin = _content(known)
        except UserError as error:
            missing += [f"{part.path}: {str(error).rstrip('.')}" for part in parts]
            continue
        digest = hashlib.sha256(content).hexdigest()
        if known.sha256 and digest != known.sha256:
            print(f"{origin}: has SHA-256 {digest}, not {known.sha256}: another revision than the one we used.")
        items = _items(content)
        missing += [
            f"{part.path}: its {part.count} records are not in {origin}"
            for part in parts
            if not _write(part, items, into, origin)
        ]
    return missing


def _content(known: KnownFile) -> tuple[bytes, str]:
    """The bytes of a published file, and where they are from."""
    if known.is_on_the_hub:
        path = download(known.place, known.path, "main")
        commit = next((name for name in reversed(path.parts) if _COMMIT.fullmatch(name)), "main")
        return path.read_bytes(), f"{known.place}/{known.path} at {commit}"
    address = f"{known.place}/{known.path}"
    try:
        with urllib.request.urlopen(address, timeout=60) as reply:
            return reply.read(), address
    except (urllib.error.URLError, OSError) as error:
        raise UserError(f"{address} cannot be downloaded ({error}); get it elsewhere and use --from.") from error


def _items(content: bytes) -> list[Any]:
    """The records of a JSON list; none if it is anything else."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return []
    return found if isinstance(found, list) else []


def _write(part: Part, items: Sequence[Any], into: Path, origin: str) -> bool:
    """Writes ``part`` if its records are among ``items``, and says so; gives whether they are."""
    for start in _starts(part, items):
        content = json.dumps(items[start : start + part.count], indent=part.indent, ensure_ascii=False)
        data = content.encode("utf-8", "surrogatepass")
        if hashlib.sha256(data).hexdigest() == part.sha256:
            path = into / part.path
            with replacing(path) as file:
                file.write(data)
            print(f"{path}: records {start} to {start + part.count} of {origin}")
            return True
    return False


def _starts(part: Part, items: Sequence[Any]) -> Iterator[int]:
    for place in range(len(items) - part.count + 1):
        if first_of(items[place]) == part.first:
            yield place


def first_of(record: Any) -> str:
    """What :attr:`~baft.benchmarks.known_files.Part.first` says of a record."""
    text = json.dumps(record, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _where(known: KnownFile) -> str:
    sha256 = f"SHA-256 {known.sha256}" if known.sha256 else "SHA-256 unknown"
    return f"public as {known.path} of {known.place}, {sha256}"


def files_table() -> str:
    """What :func:`fetch` makes and from what, in Markdown."""
    lines = [
        "| set | our file | SHA-256 of our file | records | public as | SHA-256 of the public file | licence |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, parts in PARTS.items():
        for part in parts:
            known = part.of
            cells = [
                f"`{name}`",
                f"`{part.path}`",
                f"`{part.sha256}`",
                str(part.count),
                f"`{known.path}` of {known.place}",
                f"`{known.sha256}`" if known.sha256 else "unknown",
                known.licence or "unknown",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
