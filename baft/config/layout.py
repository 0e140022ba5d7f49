"""Where a study's files lie.

The patterns are those of the rules, wildcards in braces; :func:`at` fills one in. They agree with the hive partitions
of :mod:`baft.results.schema`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_CELL = "model={model}/method={method}/protocol={protocol}/benchmark={benchmark}/seed={seed}"


@dataclass(frozen=True, slots=True)
class Layout:
    """Patterns of the files of a study under its folders ``results`` and ``cache``.

    ``text`` stands for the text of key covariances, so that studies with different ones can share a cache.
    """

    results: str
    cache: str
    text: str = ""

    @property
    def model(self) -> str:
        """Converted model: a folder."""
        return f"{self.cache}/models/{{model}}"

    @property
    def covariances(self) -> str:
        """Second moment of the keys of one layer."""
        return f"{self.cache}/covariances/{{model}}/text-{self.text}/layer-{{layer}}.safetensors"

    @property
    def benchmark(self) -> str:
        """Records of a benchmark."""
        return f"{self.results}/benchmarks/{{benchmark}}.parquet"

    @property
    def loading(self) -> str:
        """What could not be used of a benchmark, and why."""
        return f"{self.results}/benchmarks/{{benchmark}}.loading.csv"

    @property
    def base(self) -> str:
        """Answers of the unedited model."""
        return f"{self.results}/base/model={{model}}/benchmark={{benchmark}}/part.parquet"

    @property
    def probes(self) -> str:
        """Probe rows of one shard of a cell."""
        return f"{self.results}/probes/{_CELL}/shard={{shard}}/part.parquet"

    @property
    def edits(self) -> str:
        """Edit rows of one shard of a cell."""
        return f"{self.results}/edits/{_CELL}/shard={{shard}}/part.parquet"

    @property
    def kept(self) -> str:
        """Kept edits of one shard: a folder, with one in it for the records that were asked for."""
        return f"{self.results}/kept_edits/{_CELL}/shard={{shard}}"

    @property
    def checkpoints(self) -> str:
        """What a killed job of one shard goes on from: a folder, gone when the job is done."""
        return f"{self.results}/checkpoints/{_CELL}/shard={{shard}}"

    @property
    def record(self) -> str:
        """Aggregated rows of a cell, one a record."""
        return f"{self.results}/records/{_CELL}/part.parquet"

    @property
    def bases(self) -> str:
        """What edits of a model on a benchmark do, basis by basis."""
        return f"{self.results}/bases/model={{model}}/benchmark={{benchmark}}/part.parquet"

    @property
    def tuning(self) -> str:
        """Trials of a method on a model."""
        return f"{self.results}/tuning/model={{model}}/method={{method}}/part.parquet"

    @property
    def trials(self) -> str:
        """The same one by one, which a search goes on from: a folder."""
        return f"{self.results}/tuning_trials/model={{model}}/method={{method}}"

    def log(self, rule: str, *wildcards: str) -> str:
        """Log of one job of a rule."""
        return f"{self.results}/logs/{rule}/{_name(wildcards)}.log"

    def timing(self, rule: str, *wildcards: str) -> str:
        """Snakemake's measurement of one job of a rule, JSON lines."""
        return f"{self.results}/timings/{rule}/{_name(wildcards)}.jsonl"


def at(pattern: str, **wildcards: object) -> Path:
    """A pattern with its wildcards filled in."""
    return Path(pattern.format(**wildcards))


def folder_of(pattern: str, **cell: object) -> str:
    """The folder of the shards of a cell, of which ``pattern`` has one."""
    return str(at(pattern.partition("/shard=")[0], **cell))


def _name(wildcards: tuple[str, ...]) -> str:
    # A folder a label: any other separator may be part of one, and two jobs would share a file.
    return "/".join(f"{{{wildcard}}}" for wildcard in wildcards) or "all"
