"""A study's own benchmark files, read before anything runs, so that a wrong one is told at once."""

from __future__ import annotations

from pathlib import Path

from baft.benchmarks.embedded import build
from baft.benchmarks.load import load
from baft.benchmarks.records import Benchmark
from baft.config import BenchmarkConfig, Study
from baft.errors import UserError


def check_files(study: Study) -> None:
    """Read every benchmark that is a local file as the study will, and look for the records whose edits are kept.

    Raises :class:`~baft.errors.UserError` for the first that cannot be used, naming its key in the config: it is broken, has
    another hash or no known form, or none of its records can be used; or for a record of ``keep_edits`` that no benchmark
    has. Records of the hub are not known before they are fetched, so with such a benchmark any id passes.
    """
    files = {label: _read(study, label, one) for label, one in study.benchmarks.items() if one.source == "file"}
    wanted = () if isinstance(study.keep_edits, bool) else study.keep_edits
    if not wanted or any(one.source not in ("file", "embedded") for one in study.benchmarks.values()):
        return
    built = [
        build(one.name or label, one.split, one.limit, one.skip)
        for label, one in study.benchmarks.items()
        if one.source == "embedded"
    ]
    ids = [record.id for benchmark in (*files.values(), *built) for record in benchmark.records]
    if unknown := [one for one in wanted if one not in set(ids)]:
        raise UserError(
            f"keep_edits: no record has the id {unknown[0]!r}; there are {len(ids)} in the study, such as {ids[0]!r}."
        )


def _read(study: Study, label: str, benchmark: BenchmarkConfig) -> Benchmark:
    path = Path(study.located(benchmark.path or ""))
    try:
        return load(path, label, benchmark.format, benchmark.split, benchmark.limit, benchmark.sha256, benchmark.skip)
    except UserError as error:
        raise UserError(f"benchmarks.{label}: {error}") from error
