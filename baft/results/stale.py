"""Result files of cells that a config no longer has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from pathlib import Path

from baft.results.kept import FOLDER, INDEX
from baft.results.store import PART

DATASETS = ("base", "probes", "edits", "records", "bases", "tuning")


def stale_files(results: Path, expected: Iterable[Path]) -> list[Path]:
    """Files of the result datasets under ``results``, prepared benchmarks and kept edits, that are none of ``expected``."""
    known = set(expected)
    edits = [path for path in (results / FOLDER).rglob("*") if path.is_file() and not _is_of(path, known)]
    return [*(path for path in dataset_files(results) if path not in known), *sorted(edits)]


def _is_of(path: Path, known: Set[Path]) -> bool:
    """Whether a file of kept edits is an index that is ``known``, or one of its edits."""
    return any(folder / INDEX in known for folder in path.parents[:2])


def dataset_files(results: Path) -> list[Path]:
    """All files of the result datasets under ``results``, and prepared benchmarks, sorted."""
    there = [path for dataset in DATASETS for path in (results / dataset).glob(f"**/{PART}")]
    there += [path for ending in ("parquet", "loading.csv") for path in (results / "benchmarks").glob(f"*.{ending}")]
    return sorted(there)


def remove(results: Path, files: Sequence[Path]) -> None:
    """Remove ``files`` and the folders below ``results`` that this leaves empty."""
    for path in files:
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == results or any(folder.iterdir()):
                break
            folder.rmdir()
