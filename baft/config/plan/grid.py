"""The cells that a table or figure is about, and the files that they are made of."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from pydantic import Field, JsonValue

from baft.config.layout import Layout, at
from baft.config.products import Cells
from baft.config.sections import Section, StatisticsConfig
from baft.config.sweeps import line_of

CELL = ("model", "method", "protocol", "benchmark", "seed")
"""What names a cell, in this order."""


class Grid(Section):
    """The cells that a table or figure is about; small however many they are, so it fits a command line."""

    results: str = Field(description="Folder of the results.")
    models: tuple[str, ...] = Field(description="Labels of the models.")
    methods: tuple[str, ...] = Field(description="Labels of the methods.")
    points: tuple[str, ...] = Field((), description="Labels of the swept points, which only trade-off curves show.")
    protocols: dict[str, tuple[str, ...]] = Field(description="Labels of the protocols, with the benchmarks of each.")
    benchmarks: dict[str, int] = Field(description="Labels of the benchmarks, with the shards of a cell.")
    limits: dict[str, tuple[str, ...]] = Field(
        {}, description="By method, the labels of the protocols that it and its points are run with, where not all."
    )
    swept: tuple[str, ...] = Field((), description="Labels of the benchmarks of swept points; all unless given.")
    analysed: tuple[str, ...] = Field((), description="Labels of the benchmarks of the analysis.")
    seeds: tuple[int, ...] = Field(description="Seeds.")
    statistics: StatisticsConfig = Field(description="Intervals.")
    settings: dict[str, JsonValue] = Field({}, description="Keys of the config that the table or figure shows.")
    origins: dict[str, dict[str, str]] = Field(
        {}, description="By model and method, who chose the settings, for the tables that say so."
    )

    def files(self, cells: Cells) -> list[Path]:
        """The files that a table or figure of these cells is made of."""
        match cells:
            case "curves":
                return self.curve_records()
            case "bases":
                return self.bases()
            case "benchmarks":
                return self.benchmark_files()
            case "tuning":
                return self.trials()
            case _:
                return self.records()

    def records(self) -> list[Path]:
        """Record files of all cells but those of swept points."""
        pattern = Layout(self.results, "").record
        return [at(pattern, **cell) for cell in self._cells(self.methods)]

    def curve_records(self) -> list[Path]:
        """Record files of all cells."""
        pattern = Layout(self.results, "").record
        return [at(pattern, **cell) for cell in self._all_cells()]

    def edits(self) -> list[Path]:
        """Edit files of all shards of all cells but those of swept points."""
        return self._shard_files(Layout(self.results, "").edits)

    def probes(self) -> list[Path]:
        """Probe files of the same shards."""
        return self._shard_files(Layout(self.results, "").probes)

    def _shard_files(self, pattern: str) -> list[Path]:
        return [
            at(pattern, shard=shard, **cell)
            for cell in self._cells(self.methods)
            for shard in range(self.benchmarks[str(cell["benchmark"])])
        ]

    def shards(self) -> list[dict[str, object]]:
        """Wildcards of all shards of all cells, those of swept points too."""
        return [
            {**cell, "shard": shard}
            for cell in self._all_cells()
            for shard in range(self.benchmarks[str(cell["benchmark"])])
        ]

    def benchmark_files(self) -> list[Path]:
        """Records of all benchmarks."""
        return [at(Layout(self.results, "").benchmark, benchmark=label) for label in self.benchmarks]

    def bases(self) -> list[Path]:
        """Files of the analysis, one a model and benchmark, in the order of the config."""
        pattern = Layout(self.results, "").bases
        return [at(pattern, model=m, benchmark=b) for m, b in product(self.models, self.analysed)]

    def trials(self) -> list[Path]:
        """Trials of tuning, a file a model and method."""
        pattern = Layout(self.results, "").tuning
        return [at(pattern, model=model, method=method) for model, method in product(self.models, self.methods)]

    def _all_cells(self) -> list[dict[str, object]]:
        swept = self.swept or tuple(self.benchmarks)
        return [*self._cells(self.methods), *(c for c in self._cells(self.points) if c["benchmark"] in swept)]

    def runs(self, method: str, protocol: str) -> bool:
        """Whether a method, or a point of one, is run with that protocol."""
        line = line_of(method)
        return line not in self.limits or protocol in self.limits[line]

    def _cells(self, methods: tuple[str, ...]) -> list[dict[str, object]]:
        where = [(protocol, benchmark) for protocol, benchmarks in self.protocols.items() for benchmark in benchmarks]
        axes = product(self.models, methods, where, self.seeds)
        return [
            dict(zip(CELL, (model, method, *pair, seed), strict=True))
            for model, method, pair, seed in axes
            if self.runs(method, pair[0])
        ]
