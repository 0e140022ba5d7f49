"""Result files that a crash damaged, and what killed jobs were writing."""

from __future__ import annotations

from pathlib import Path

from baft.results.stale import dataset_files
from baft.results.store import is_whole


def damaged_files(results: Path) -> list[Path]:
    """Parquet files of the result datasets under ``results``, and prepared benchmarks, that do not read to their end."""
    return [path for path in dataset_files(results) if path.suffix == ".parquet" and not is_whole(path)]


def unfinished_files(results: Path) -> list[Path]:
    """Files under ``results`` that a process was writing when it was killed; of a living process too."""
    return sorted(path for path in results.rglob(".*.tmp") if path.is_file())
