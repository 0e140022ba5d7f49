"""A benchmark as the config names it, turned into its parquet file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from baft.benchmarks.embedded import build
from baft.benchmarks.hub import download
from baft.benchmarks.loading import load
from baft.benchmarks.records import Benchmark
from baft.benchmarks.store import write_benchmark
from baft.config import BenchmarkConfig


def prepare_benchmark(config: BenchmarkConfig, name: str, out: Path) -> None:
    """Build, read or download the benchmark that ``config`` describes, call it ``name`` and write it to ``out``.

    Raises :class:`~baft.errors.UserError` if it cannot be had or read.
    """
    benchmark = _SOURCES[config.source](config, name)
    write_benchmark(benchmark, out)
    print(
        f"{name}: {len(benchmark.records)} records, {len(benchmark.rejected)} rejected; "
        f"format {benchmark.format}, revision {benchmark.revision}, split {benchmark.split}"
    )


def _embedded(config: BenchmarkConfig, name: str) -> Benchmark:
    return replace(build(config.name or name, config.split, config.limit), name=name)


def _from_file(config: BenchmarkConfig, name: str) -> Benchmark:
    return _loaded(Path(config.path or ""), config, name)


def _from_hub(config: BenchmarkConfig, name: str) -> Benchmark:
    # The config holds a revision that is no commit to a file's hash, so that either pins what is read.
    assert config.hub_id is not None and config.filename is not None
    return _loaded(download(config.hub_id, config.filename, config.revision), config, name)


def _loaded(path: Path, config: BenchmarkConfig, name: str) -> Benchmark:
    return load(path, name, format=config.format, split=config.split, limit=config.limit, sha256=config.sha256)


_SOURCES = {"embedded": _embedded, "file": _from_file, "hub": _from_hub}
