"""Which cells the tables and figures of a study are about."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from baft.config.plan.grid import Grid
from baft.config.plan.lineup import Lineup
from baft.config.study import Study


@dataclass(frozen=True)
class Grids:
    """The cells of a study, and those of its special tables and figures."""

    study: Study
    lineup: Lineup

    @functools.cached_property
    def all(self) -> Grid:
        """All cells but those of the map and of variants."""
        study = self.study
        return Grid(
            results=study.results,
            models=tuple(study.models),
            methods=tuple(study.lines),
            points=tuple(self.lineup.points),
            protocols={label: self._chosen(protocol.benchmarks) for label, protocol in study.protocols.items()},
            limits={label: section.protocols for label, section in study.methods.items() if section.protocols},
            benchmarks={label: benchmark.shards for label, benchmark in study.benchmarks.items()},
            swept=self._chosen(study.curves.benchmarks),
            analysed=self._chosen(study.analysis.benchmarks),
            seeds=tuple(study.seeds),
            statistics=study.statistics.model_copy(update={"reference": study.reference}),
        )

    @functools.cached_property
    def sequences(self) -> Grid | None:
        """The cells in which edits follow one another; None if there are none."""
        long = {label for label, protocol in self.study.protocols.items() if protocol.length > 1}
        chosen = {label: benchmarks for label, benchmarks in self.all.protocols.items() if label in long}
        return self.all.model_copy(update={"protocols": chosen}) if chosen else None

    @functools.cached_property
    def sensitivity(self) -> Grid | None:
        """The cells of the map over layer and rank; None if there is none."""
        chosen = self.study.sensitivity
        if chosen.method is None:
            return None
        protocol = chosen.protocol or self._first_protocol
        return self._varied(tuple(self.lineup.lattice), (protocol,), chosen.benchmarks)

    @functools.cached_property
    def ablations(self) -> Grid | None:
        """The cells of a method and its variants, the method first; None if there are none."""
        chosen = self.study.ablations
        if chosen.method is None:
            return None
        return self._varied((chosen.method, *self.lineup.variants), chosen.protocols, chosen.benchmarks)

    def tuning(self, methods: Sequence[str]) -> Grid | None:
        """The cells of the searches for settings of these methods; None without methods."""
        chosen = self.study.tuning
        if not methods:
            return None
        return self._varied(tuple(methods), chosen.protocols or (self._first_protocol,), chosen.benchmarks)

    def _varied(self, methods: tuple[str, ...], protocols: Sequence[str], benchmarks: Sequence[str]) -> Grid:
        """The cells of these methods; of all protocols and benchmarks unless some are named."""
        chosen = self._chosen(benchmarks)
        run = {
            label: tuple(benchmark for benchmark in there if benchmark in chosen)
            for label, there in self.all.protocols.items()
            if not protocols or label in protocols
        }
        return self.all.model_copy(update={"methods": methods, "points": (), "protocols": run})

    def edit_jobs(self) -> list[dict[str, object]]:
        """Wildcards of every shard of every cell, of swept points, of the map and of variants too."""
        found = {tuple(shard.values()): shard for grid in self._edited for shard in grid.shards()}
        return list(found.values())

    def summaries(self) -> list[Path]:
        """Record files of the same cells."""
        return list(dict.fromkeys(path for grid in self._edited for path in grid.curve_records()))

    @property
    def _edited(self) -> tuple[Grid, ...]:
        return tuple(grid for grid in (self.all, self.sensitivity, self.ablations) if grid is not None)

    @property
    def _first_protocol(self) -> str:
        return next(iter(self.study.protocols))

    def _chosen(self, benchmarks: Sequence[str]) -> tuple[str, ...]:
        """Those benchmarks in the order of the config; all of them if none is named."""
        return tuple(label for label in self.study.benchmarks if not benchmarks or label in benchmarks)
