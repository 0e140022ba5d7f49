"""A benchmark as the config names it, turned into its parquet file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from baft.benchmarks.loading import load
from baft.benchmarks.records import Benchmark
from baft.benchmarks.store import write_benchmark
from baft.config import BenchmarkConfig
from baft.errors import UserError


def prepare_benchmark(config: BenchmarkConfig, name: str, out: Path) -> None:
    """Build, read or download the benchmark that ``config`` describes, call it ``name`` and write it to ``out``.

    Raises :class:`~baft.errors.UserError` if it cannot be had or read.
    """
    benchmark = _embedded(config, name) if config.source == "embedded" else _from_file(config, name)
    write_benchmark(benchmark, out)
    print(
        f"{name}: {len(benchmark.records)} records, {len(benchmark.rejected)} rejected; "
        f"format {benchmark.format}, revision {benchmark.revision}, split {benchmark.split}"
    )


def _embedded(config: BenchmarkConfig, name: str) -> Benchmark:
    from baft.benchmarks.embedded import build

    return replace(build(config.name or name, config.split, config.limit), name=name)


def _from_file(config: BenchmarkConfig, name: str) -> Benchmark:
    path = _downloaded(config) if config.source == "hub" else Path(config.path or "")
    return load(path, name, format=config.format, split=config.split, limit=config.limit, sha256=config.sha256)


def _downloaded(config: BenchmarkConfig) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    assert config.hub_id is not None and config.filename is not None
    try:
        return Path(hf_hub_download(config.hub_id, config.filename, repo_type="dataset", revision=config.revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{config.filename} of the data set {config.hub_id} (revision {config.revision}) cannot be downloaded: "
            f"{reason} Check hub_id, filename and revision, or download it and give source: file with its path."
        ) from None
