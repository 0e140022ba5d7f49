"""The jobs that edit: what each is told, reads and keeps."""

from __future__ import annotations

import functools
import hashlib
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from baft.config.cells import Cell
from baft.config.layout import Layout, at, folder_of
from baft.config.method_files import sources_of
from baft.config.plan.grid import CELL
from baft.config.plan.grids import Grids
from baft.config.plan.lineup import Lineup
from baft.config.sources import shipped_source
from baft.config.study import Study

Key = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Edits:
    """What the jobs of each cell are told, by model, method, protocol, benchmark and seed, all as text.

    Look-ups are of dictionaries, for a large study asks a hundred thousand times.
    """

    study: Study
    layout: Layout
    lineup: Lineup
    grids: Grids

    def spec(self, model: str, method: str, protocol: str, benchmark: str, seed: str) -> str:
        """What an edit job is told, as JSON."""
        return self._specs[model, method, protocol, benchmark, seed]

    def options(self, model: str, method: str, protocol: str, benchmark: str, seed: str) -> str:
        """What the edit jobs of a cell have in common, as options of their command, quoted for a shell."""
        return self._options[model, method, protocol, benchmark, seed]

    def cells(self) -> dict[Path, Cell]:
        """What the edit jobs of each cell are told, by the record file that the cell is summarised in."""
        return {at(self.layout.record, **dict(zip(CELL, key, strict=True))): cell for key, cell in self._cells()}

    def source(self, method: str) -> str:
        """Digest of the code behind an edit job, of all methods only its own."""
        return self._sources[method]

    def covariances(self, model: str, method: str) -> list[str]:
        """The covariances that an edit job needs: none for most methods."""
        layers = self.lineup.settings(model, method).needs().covariances
        return [str(at(self.layout.covariances, model=model, layer=layer)) for layer in layers]

    @property
    def use_covariances(self) -> bool:
        """Whether an edit job needs covariances."""
        return any(self.covariances(*pair) for pair in product(self.study.models, self.lineup.methods))

    @functools.cached_property
    def kept(self) -> str | None:
        """Pattern of the index of a shard's kept edits; None if no edits are kept.

        The records that are kept are in its path, and not in what the job is told: rows do not depend on them, so that other
        records are a file that is missing, and none are nothing to do.
        """
        keep = self.study.keep_edits
        if not keep:
            return None
        chosen = "all" if keep is True else hashlib.sha256(self.keep.encode()).hexdigest()[:12]
        return f"{self.layout.kept}/{chosen}/index.json"

    @functools.cached_property
    def keep(self) -> str:
        """The records whose edits are kept, as JSON."""
        keep = self.study.keep_edits
        return json.dumps(keep if isinstance(keep, bool) else sorted(keep))

    @functools.cached_property
    def _sources(self) -> dict[str, str]:
        lineup = self.lineup
        return {
            label: shipped_source(
                "baft.evaluation.jobs",
                *sources_of(point.method, *(lineup.settings(model, label) for model in self.study.models)),
            )
            for label, point in lineup.methods.items()
        }

    @functools.cached_property
    def _specs(self) -> dict[Key, str]:
        """One text a cell, however many jobs are told it."""
        return {key: cell.spec() for key, cell in self._cells()}

    def _cells(self) -> Iterator[tuple[Key, Cell]]:
        study, lineup = self.study, self.lineup
        where = [
            (protocol, benchmark)
            for protocol, benchmarks in self.grids.all.protocols.items()
            for benchmark in benchmarks
        ]
        axes = product(study.models, lineup.methods, where, study.seeds)
        needed = {pair for pair in product(study.models, lineup.methods) if self.covariances(*pair)}
        for model, method, (protocol, benchmark), seed in axes:
            if self.grids.all.runs(method, protocol):
                yield (
                    (model, method, protocol, benchmark, str(seed)),
                    Cell(
                        model_label=model,
                        model=study.models[model],
                        method=lineup.spec(model, method),
                        protocol_label=protocol,
                        protocol=study.protocols[protocol],
                        benchmark=benchmark,
                        seed=seed,
                        evaluation=study.evaluation,
                        covariances=study.covariances if (model, method) in needed else None,
                    ),
                )

    @functools.cached_property
    def _options(self) -> dict[Key, str]:
        return {key: self._options_of(key, spec) for key, spec in self._specs.items()}

    def _options_of(self, key: Key, spec: str) -> str:
        cell = dict(zip(CELL, key, strict=True))
        options = {
            "spec": spec,
            "benchmark": at(self.layout.benchmark, **cell),
            "shards": self.study.benchmarks[cell["benchmark"]].shards,
            "checkpoints": folder_of(self.layout.checkpoints, **cell),
        }
        return " ".join(f"--{name} {shlex.quote(str(value))}" for name, value in options.items())
