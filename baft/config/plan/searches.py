"""The searches for settings, in studies that tune."""

from __future__ import annotations

import functools
import shlex
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from baft.config.cells import MethodSpec, TuningSpec
from baft.config.layout import Layout, at
from baft.config.method_files import settings_class, sources_of
from baft.config.methods import section_of
from baft.config.plan.grid import Grid
from baft.config.plan.grids import Grids
from baft.config.plan.lineup import Lineup
from baft.config.sources import shipped_source
from baft.config.study import Study
from baft.methods.settings import given_values


@dataclass(frozen=True)
class Searches:
    """What each search is told and reads; one a model and method."""

    study: Study
    layout: Layout
    lineup: Lineup
    grids: Grids

    @functools.cached_property
    def methods(self) -> tuple[str, ...]:
        """Labels of the methods that are tuned; none without tuning."""
        tuning = self.study.tuning
        if not tuning.trials:
            return ()
        return tuning.methods or tuple(label for label in self.lineup.lines if self.searched(label))

    def searched(self, label: str) -> list[str]:
        """The settings of a method that are searched: those with a range that the study doesn't give."""
        line = self.lineup.lines[label]
        return [name for name in settings_class(line.method).ranges if name not in line.settings]

    @functools.cached_property
    def grid(self) -> Grid | None:
        """The cells of tuning, whose methods are those tuned; None if there are none."""
        return self.grids.tuning(self.methods)

    @functools.cached_property
    def cells(self) -> tuple[tuple[str, str], ...]:
        """What every trial is measured on: a protocol and a benchmark each, by label."""
        protocols = self.grid.protocols if self.grid else {}
        return tuple((protocol, benchmark) for protocol, benchmarks in protocols.items() for benchmark in benchmarks)

    def jobs(self) -> list[tuple[str, str]]:
        """Model and method of every search."""
        return list(product(self.study.models, self.methods))

    def files(self) -> list[Path]:
        """The trials, a file a search."""
        return self.grid.trials() if self.grid else []

    def spec(self, model: str, method: str) -> str:
        """What the search for a method's settings is told, as JSON."""
        study, line = self.study, self.lineup.lines[method]
        spec = TuningSpec(
            model_label=model,
            model=study.models[model],
            method=MethodSpec(
                label=method,
                method=line.method,
                settings=self.lineup.untuned(model, method).model_dump(mode="json"),
                section=section_of(line.method, self.lineup.known[model]),
            ),
            fixed=tuple(line.settings),
            cells=self.cells,
            protocols={protocol: study.protocols[protocol] for protocol, _ in self.cells},
            trials=study.tuning.trials,
            records=study.tuning.records,
            probes=study.tuning.probes,
            seed=study.tuning.seed,
            evaluation=study.evaluation,
            covariances=study.covariances if self.covariances(model, method) else None,
        )
        return spec.spec()

    def options(self, model: str) -> str:
        """The records and the unedited model's answers that every search on a model reads, as options of its command."""
        labels = dict.fromkeys(benchmark for _, benchmark in self.cells)
        files = [
            (at(self.layout.benchmark, benchmark=b), at(self.layout.base, model=model, benchmark=b)) for b in labels
        ]
        return " ".join(
            f"--benchmark {shlex.quote(str(records))} --base {shlex.quote(str(base))}" for records, base in files
        )

    def bases(self, model: str) -> list[str]:
        """The unedited model's answers to what tuning asks."""
        return [str(at(self.layout.base, model=model, benchmark=b)) for _, b in self.cells]

    def covariances(self, model: str, method: str) -> list[str]:
        """The covariances that a search may need: those of each value that a setting may have."""
        start, searched = self.lineup.untuned(model, method), self.searched(method)
        kept = {name: one for name, one in type(start).ranges.items() if name in searched}
        tried = [start, *(start.model_copy(update={name: v}) for name, one in kept.items() for v in given_values(one))]
        layers = dict.fromkeys(layer for settings in tried for layer in settings.needs().covariances)
        return [str(at(self.layout.covariances, model=model, layer=layer)) for layer in layers]

    def source(self, method: str) -> str:
        """Digest of the code behind the search for a method's settings, of all methods only its own."""
        starts = (self.lineup.untuned(model, method) for model in self.study.models)
        return shipped_source("baft.evaluation.tuning", *sources_of(self.lineup.lines[method].method, *starts))
