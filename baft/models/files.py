"""The files in a model's folder that decide what the model says, and their fingerprint.

Nothing here imports torch or transformers: the workflow asks for the fingerprint when it plans.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

from baft.errors import UserError
from baft.files import write_text

CARD = "baft_model.json"
"""What a prepared model is; written last, so that a folder without it is not a prepared model."""

HASHES = "baft_hashes.json"
"""Hashes of the files that a prepared model is read from; written first, so that a folder with it is one of ours."""

# What no loader of transformers reads: texts for people, pictures, logs, and weights of other frameworks. Every other file
# counts, whatever its name, since a file that was overlooked would be a wrong number without a sign.
_IGNORED = {
    *(
        ".md",
        ".rst",
        ".pdf",
        ".png",
        ".jpg",
        ".jpeg",
        ".gif",
        ".svg",
        ".webp",
        ".log",
        ".lock",
        ".tmp",
        ".csv",
        ".parquet",
    ),
    *(".h5", ".msgpack", ".ot", ".onnx", ".gguf", ".pt", ".pth", ".tflite", ".npz"),
}
# Pickled weights, which are not read where there are safetensors. Another program may download them into the hub's cache.
_SAFE = ("model.safetensors", "model.safetensors.index.json")
_PICKLED = re.compile(r"(pytorch_model.*|training_args)\.bin")
_IGNORED_NAMES = ("LICENSE", "LICENCE", "NOTICE", "README")
_TEMPLATES = ("additional_chat_templates", "chat_templates")
_TICK = 20_000_000
"""Nanoseconds within which two changes of a file may get the same time from the system's clock."""


@dataclass(frozen=True)
class Hashed:
    """A file as it was when it was hashed: size in bytes, times of its last change in ns, and its SHA-256."""

    size: int
    modified: int
    changed: int
    sha256: str


def model_files(folder: Path) -> tuple[str, ...]:
    """Paths, relative to a model's folder, of all files that decide what the model says."""
    names = {path.name for path in folder.iterdir() if path.is_file() and _counts(path)}
    for templates in _TEMPLATES:
        names |= {str(path.relative_to(folder)) for path in (folder / templates).glob("*") if path.is_file()}
    for index in folder.glob("*.index.json"):
        names |= {name for name in _named_in(index) if (folder / name).is_file()}
    if names & set(_SAFE):
        names = {name for name in names if not _PICKLED.fullmatch(name)}
    return tuple(sorted(names))


def fingerprint(folder: Path, prepared: Path | None = None) -> str:
    """SHA-256, first 16 hex digits, over :func:`model_files` by name and content.

    A file that is as it was when it was hashed for the folder ``prepared`` is not read again. Its size and the times of its
    last change tell; the system keeps one of them, which no program can set back. Raises UserError if a file cannot be read.
    """
    return _over(_hash_files(folder, {} if prepared is None else _read_hashes(prepared)))


def planned_fingerprint(folder: Path, prepared: Path) -> str:
    """:func:`fingerprint`, with the hashes kept if ``prepared`` is a prepared model: a touched file is read once again."""
    if not (prepared / CARD).is_file():
        return fingerprint(folder)
    with contextlib.suppress(OSError, UserError):
        return keep_hashes(folder, prepared)
    return fingerprint(folder, prepared)


def keep_hashes(folder: Path, prepared: Path) -> str:
    """:func:`fingerprint`, with the hashes kept in ``prepared`` for the next time."""
    before = _read_hashes(prepared)
    hashes = _hash_files(folder, before)
    if hashes != before:
        text = json.dumps({name: astuple(hashed) for name, hashed in hashes.items()}, indent=2)
        write_text(prepared / HASHES, text + "\n")
    return _over(hashes)


def _counts(path: Path) -> bool:
    name = path.name
    return not (
        name in (CARD, HASHES)
        or name.startswith((".", *_IGNORED_NAMES))
        or name.endswith("~")
        or path.suffix.lower() in _IGNORED
    )


def _named_in(index: Path) -> Iterator[str]:
    """The files of weights that an index names; a damaged one is left to the loader to complain of."""
    with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
        yield from {os.path.normpath(str(name)) for name in json.loads(index.read_bytes())["weight_map"].values()}


def _over(hashes: Mapping[str, Hashed]) -> str:
    told = "".join(f"{name}\0{hashed.sha256}\0" for name, hashed in hashes.items())
    return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _hash_files(folder: Path, known: Mapping[str, Hashed]) -> dict[str, Hashed]:
    try:
        return {name: _hash(folder / name, known.get(name)) for name in model_files(folder)}
    except OSError as error:
        raise UserError(f"The model in {folder} cannot be read: {error.strerror}: {error.filename}.") from error


def _hash(path: Path, known: Hashed | None) -> Hashed:
    size, modified, changed = _state(path)
    if known is not None and (known.size, known.modified, known.changed) == (size, modified, changed):
        return known
    # Else a change in the same tick of the clock would leave no trace. A whole second means a clock that has no finer ones.
    tick = _TICK if changed % 1_000_000_000 else 2_000_000_000
    if 0 <= (age := time.time_ns() - changed) < tick:
        time.sleep((tick - age) / 1e9)
    with path.open("rb") as file:
        return Hashed(size, modified, changed, hashlib.file_digest(file, "sha256").hexdigest())


def _state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read_hashes(prepared: Path) -> dict[str, Hashed]:
    """What :func:`keep_hashes` wrote; nothing if it is not there or damaged, for it only saves time."""
    try:
        found = json.loads((prepared / HASHES).read_bytes())
        return {name: Hashed(*kept) for name, kept in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
