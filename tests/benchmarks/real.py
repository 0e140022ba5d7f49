"""The published benchmark files, which the project doesn't hold: found in a folder beside the checkout or a named one."""

import os
from pathlib import Path

from baft.benchmarks.known_files import known_part
from baft.benchmarks.load import load
from baft.benchmarks.records import Benchmark
from baft.benchmarks.source import read_source

DATA = Path(os.environ.get("BAFT_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def load_real(path: Path, limit: int | None = None) -> Benchmark:
    """A published file, as of the split that it is for."""
    part = known_part(read_source(path).sha256)
    return load(path, path.stem, split=part.split if part else "tune", limit=limit)
