"""Result files that a crash damaged, and what killed jobs were writing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

from baft.files import replacing
from baft.results.stale import dataset_files
from baft.results.store import is_whole

CHECKED = ".checked.json"
"""In the results folder: how each file looked when it was last read to its end."""

# A file may change within one tick of a file system's clock, so one that was just written is read again next time.
_SETTLED = 2.0


def damaged_files(results: Path) -> list[Path]:
    """Parquet files of the result datasets under ``results``, and prepared benchmarks, that do not read to their end."""
    return _damaged(results, {})


def newly_damaged_files(results: Path) -> list[Path]:
    """The same, but of files that are unchanged since they were last found whole only the inode is looked at.

    A write, a truncation or a replacement changes size or times and is noticed. What a disk garbles by itself is not:
    :func:`damaged_files` reads everything.
    """
    try:
        known = json.loads((results / CHECKED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    return _damaged(results, known if isinstance(known, dict) else {})


def unfinished_files(results: Path) -> list[Path]:
    """Files under ``results`` that a process was writing when it was killed; of a living process too."""
    return sorted(path for path in results.rglob(".*.tmp") if path.is_file())


def _damaged(results: Path, known: Mapping[str, object]) -> list[Path]:
    """Files that are not whole, of those that are not as ``known``; what is whole is remembered."""
    damaged = []
    whole: dict[str, list[int]] = {}
    for path in dataset_files(results):
        if path.suffix != ".parquet":
            continue
        name, look = str(path.relative_to(results)), _look(path)
        if known.get(name) == look or is_whole(path):
            if max(look[2:]) < (time.time() - _SETTLED) * 1e9:
                whole[name] = look
        else:
            damaged.append(path)
    if whole != known:
        with replacing(results / CHECKED) as file:
            file.write(json.dumps(whole).encode())
    return damaged


def _look(path: Path) -> list[int]:
    """What changes with a file: its inode, size, and the times of its last change in nanoseconds."""
    found = os.stat(path)
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
