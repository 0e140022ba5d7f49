"""What a job that edits reads, and a digest of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path

from baft.config import Cell, MethodSpec, TuningSpec, source_digest, sources_of
from baft.config.methods import checked_settings
from baft.config.sources import ROOT
from baft.models.prepare import read_card
from baft.results.provenance import versions


@dataclass(frozen=True)
class JobInputs:
    """All that the work on one shard of a cell depends on: the job is given nothing else to read.

    ``folder`` is that of the prepared model; the others are files. ``keep`` says of which records the edits are kept.
    """

    cell: Cell
    shard: int
    shards: int
    folder: Path
    benchmark: Path
    base: Path
    covariances: tuple[Path, ...] = ()
    keep: bool | tuple[str, ...] = False

    def digest(self, *, device: str) -> str:
        """SHA-256 of every field, of paths what they hold; of the code, the installed versions and the kind of device.

        What killed jobs left is used only under the same digest.
        """
        told = {field.name: _told(getattr(self, field.name)) for field in fields(self)}
        return _digest(told, self.cell.method, "baft.evaluation.jobs", device)


@dataclass(frozen=True)
class TuningInputs:
    """All that the search for a method's settings depends on: the job is given nothing else to read.

    ``folder`` is that of the prepared model; ``benchmarks`` and ``bases`` are in the same order.
    """

    spec: TuningSpec
    folder: Path
    benchmarks: tuple[Path, ...]
    bases: tuple[Path, ...]
    covariances: tuple[Path, ...] = ()

    def digest(self, *, device: str) -> str:
        """SHA-256 of every field but the number of trials; of the code, the installed versions and the kind of device.

        What an earlier search has tried is used only under the same digest, by one of more trials too.
        """
        told = {field.name: _told(getattr(self, field.name)) for field in fields(self) if field.name != "spec"}
        told["spec"] = self.spec.model_copy(update={"trials": 0}).spec()
        told["optuna"] = version("optuna")
        return _digest(told, self.spec.method, "baft.evaluation.tuning", device)


def _digest(told: Mapping[str, object], method: MethodSpec, module: str, device: str) -> str:
    shipped = tuple(sorted((ROOT / "resources").glob("**/*.*")))
    own = sources_of(method.method, checked_settings(method.method, method.settings))
    around = {"source": source_digest(module, *own, files=shipped), "versions": versions(), "device": device}
    return hashlib.sha256(json.dumps([told, around], sort_keys=True).encode()).hexdigest()


def _told(value: object) -> object:
    """A field's content as JSON; a field of a new kind is an error until it is said here what it holds."""
    if isinstance(value, Cell):
        return value.spec()
    if isinstance(value, int | str):
        return value
    if isinstance(value, tuple):
        return [_told(part) for part in value]
    if isinstance(value, Path):
        if value.is_dir():
            return read_card(value)["fingerprint"]
        with value.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    raise TypeError(f"{type(value).__name__} is not known to have a digest")
