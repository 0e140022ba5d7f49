"""A study's own benchmark files, read before anything runs, so that a wrong one is told at once."""

from __future__ import annotations

from pathlib import Path

from baft.benchmarks.load import load
from baft.config import Study
from baft.errors import UserError


def check_files(study: Study) -> None:
    """Read every benchmark that is a local file as the study will.

    Raises :class:`~baft.errors.UserError` for the first that cannot be used, naming its key in the config: it is broken, has
    another hash or no known form, or none of its records can be used.
    """
    for label, benchmark in study.benchmarks.items():
        if benchmark.source != "file":
            continue
        path = Path(study.located(benchmark.path or ""))
        try:
            load(path, label, benchmark.format, benchmark.split, benchmark.limit, benchmark.sha256, benchmark.skip)
        except UserError as error:
            raise UserError(f"benchmarks.{label}: {error}") from error
