"""A benchmark as a config names it, of what is on this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from baft.benchmarks.embedded import build
from baft.benchmarks.load import load
from baft.benchmarks.records import Benchmark
from baft.config import BenchmarkConfig, Study
from baft.errors import UserError


def built(config: BenchmarkConfig, name: str) -> Benchmark:
    """An embedded benchmark, called ``name``; errors as of :func:`~baft.benchmarks.embedded.build`."""
    return replace(build(config.name or name, config.split, config.limit, config.skip), name=name)


def loaded(path: Path, config: BenchmarkConfig, name: str) -> Benchmark:
    """The benchmark in the file ``path``, called ``name``; errors as of :func:`~baft.benchmarks.load.load`."""
    return load(path, name, config.format, config.split, config.limit, config.sha256, config.skip)


def read_here(study: Study, label: str) -> Benchmark | None:
    """A benchmark of a study as its job will read it; None for a file of the hub, which only the job fetches.

    Raises :class:`~baft.errors.UserError` that names its key in the config if it cannot be used.
    """
    config = study.benchmarks[label]
    if config.source == "hub":
        return None
    try:
        if config.source == "embedded":
            return built(config, label)
        return loaded(Path(study.located(config.path or "")), config, label)
    except UserError as error:
        raise UserError(f"benchmarks.{label}: {error}") from error
