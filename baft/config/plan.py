"""A study worked out: its cells, what each job is told and needs, and which files the tables are made of.

The rules look everything up here. Look-ups are of dictionaries, for a large study asks a hundred thousand times.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import Field, JsonValue

from baft.config.cells import (
    AnalysisSpec,
    Cell,
    MethodSpec,
    RunMethod,
    TuningSpec,
    model_numbers,
    model_source,
    model_spec,
)
from baft.config.known_models import known_at_planning
from baft.config.layout import Layout, at
from baft.config.method_files import check_method, settings_class, sources_of
from baft.config.methods import method_settings, origin_of, section_of, untuned_settings
from baft.config.products import Cells, FigureProduct, Product, TableProduct, all_products
from baft.config.sections import Section, SensitivityConfig, StatisticsConfig
from baft.config.sources import ROOT, source_digest
from baft.config.study import Study
from baft.config.sweeps import Point, lattice_of, line_of, points_of, variants_of
from baft.errors import UserError
from baft.methods.settings import Bases, MethodSettings, given_values

_CELL = ("model", "method", "protocol", "benchmark", "seed")
Key = tuple[str, str, str, str, str]


class Grid(Section):
    """The cells that a table or figure is about; small however many they are, so it fits a command line."""

    results: str = Field(description="Folder of the results.")
    models: tuple[str, ...] = Field(description="Labels of the models.")
    methods: tuple[str, ...] = Field(description="Labels of the methods.")
    points: tuple[str, ...] = Field((), description="Labels of the swept points, which only trade-off curves show.")
    protocols: dict[str, tuple[str, ...]] = Field(description="Labels of the protocols, with the benchmarks of each.")
    benchmarks: dict[str, int] = Field(description="Labels of the benchmarks, with the shards of a cell.")
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

    def _cells(self, methods: tuple[str, ...]) -> list[dict[str, object]]:
        where = [(protocol, benchmark) for protocol, benchmarks in self.protocols.items() for benchmark in benchmarks]
        axes = product(self.models, methods, where, self.seeds)
        return [dict(zip(_CELL, (model, method, *pair, seed), strict=True)) for model, method, pair, seed in axes]


class PageSpec(Section):
    """What the pages of a study are told: the report, and the answers."""

    config: dict[str, JsonValue] = Field(description="The study's config with all defaults.")
    grid: Grid = Field(description="All cells.")
    tables: dict[str, str] = Field(description="Names of the tables, in their order, with their labels.")
    figures: dict[str, str] = Field(description="Names of the figures, in their order, with their labels.")
    methods: tuple[RunMethod, ...] = Field(description="The methods on each model, without swept points.")


@dataclass(frozen=True)
class Plan:
    """Answers of the study to the questions of the rules; wildcards are passed as the strings they are."""

    study: Study

    def check(self) -> None:
        """Raise :class:`~baft.errors.UserError` for the first method or setting that is wrong for any model."""
        for label, section in self.study.methods.items():
            line = self._lines[label]
            check_method(line.method, f"methods.{label}" if section.method else "methods")
            self._check_point(line, f"methods.{label}.settings")
            for point in points_of({label: section}).values():
                self._check_point(point, f"methods.{label}.sweep")
        if self.study.sensitivity.method is not None:
            self._check_lattice(self.study.sensitivity, self._lines[self.study.sensitivity.method])
        for name, label in zip(self.study.ablations.variants, self.variants, strict=True):
            self._check_variant(name, label)
        self._check_tuning()

    def _check_point(self, point: Point, place: str) -> None:
        for model in self.study.models:
            method_settings(point.method, self._known[model], point.settings, place=place)

    def _check_lattice(self, chosen: SensitivityConfig, line: Point) -> None:
        for setting in ("layer", "rank"):
            if setting not in settings_class(line.method).model_fields:
                raise UserError(
                    f"sensitivity.method is '{chosen.method}', but must be a method with a layer and a rank; "
                    f"'{line.method}' has no {setting}."
                )
        for point in lattice_of(chosen, str(chosen.method), line).values():
            self._check_point(point, "sensitivity")

    def _check_variant(self, name: str, label: str) -> None:
        chosen, variant = self.study.ablations, self.variants[label]
        place = f"ablations.variants.{name}"
        self._check_point(variant, place)
        if self._is_line(label, variant):
            raise UserError(f"{place} has the settings that '{chosen.method}' has anyway.")
        if (self.points | self.lattice).get(label, variant) != variant:
            raise UserError(f"{place} has the label of another point, '{label}': give it another.")

    def _check_tuning(self) -> None:
        for label in self.study.tuning.methods:
            line = self._lines[label]
            if not settings_class(line.method).ranges:
                raise UserError(
                    f"tuning.methods has '{label}', but '{line.method}' declares no ranges in which its settings could be "
                    "searched: take it out, or give its settings `ranges` (docs/adding-a-method.md)."
                )
            if not self._searched(label):
                raise UserError(
                    f"tuning.methods has '{label}', but methods.{label}.settings gives all that could be searched: leave "
                    f"some of {', '.join(settings_class(line.method).ranges)} out."
                )
        if self.study.tuning.trials and not self.tuned:
            raise UserError(
                "tuning.trials is given, but no method of the study declares ranges in which its settings could be searched."
            )
        for label in self.tuned:
            for model, known in self._known.items():
                untuned_settings(
                    self._method(label), known, self._lines[label].settings, place=f"tuning, model {model}"
                )

    @functools.cached_property
    def tuned(self) -> tuple[str, ...]:
        """Labels of the methods that are tuned; none without tuning."""
        tuning = self.study.tuning
        if not tuning.trials:
            return ()
        return tuning.methods or tuple(label for label in self._lines if self._searched(label))

    def _searched(self, label: str) -> list[str]:
        """The settings of a method that are searched: those with a range that the study doesn't give."""
        line = self._lines[label]
        return [name for name in settings_class(line.method).ranges if name not in line.settings]

    @functools.cached_property
    def points(self) -> dict[str, Point]:
        """The swept points by label; a value that a line has for every model anyway makes none."""
        return {
            label: point for label, point in points_of(self.study.methods).items() if not self._is_line(label, point)
        }

    @functools.cached_property
    def lattice(self) -> dict[str, Point]:
        """What the map over layer and rank shows, by label; a pair that the line has for every model is the line."""
        chosen = self.study.sensitivity
        if chosen.method is None:
            return {}
        points = lattice_of(chosen, chosen.method, self._lines[chosen.method])
        own = {line_of(label) if self._is_line(label, point) else label: point for label, point in points.items()}
        return {label: self._lines.get(label, point) for label, point in own.items()}

    @functools.cached_property
    def variants(self) -> dict[str, Point]:
        """The variants of the method that is ablated, by label."""
        chosen = self.study.ablations
        return {} if chosen.method is None else variants_of(chosen, chosen.method, self._lines[chosen.method])

    @functools.cached_property
    def methods(self) -> dict[str, Point]:
        """Every method as it is run, lines before swept points, by label."""
        return self._lines | self.points | self.lattice | self.variants

    @functools.cached_property
    def layout(self) -> Layout:
        """Where the files lie."""
        text = hashlib.sha256(self.study.covariances.model_dump_json().encode()).hexdigest()[:12]
        return Layout(self.study.results, self.study.cache, text)

    @functools.cached_property
    def grid(self) -> Grid:
        """All cells."""
        study = self.study
        return Grid(
            results=study.results,
            models=tuple(study.models),
            methods=tuple(study.lines),
            points=tuple(self.points),
            protocols={label: self._chosen(protocol.benchmarks) for label, protocol in study.protocols.items()},
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
        chosen = {label: benchmarks for label, benchmarks in self.grid.protocols.items() if label in long}
        return self.grid.model_copy(update={"protocols": chosen}) if chosen else None

    @functools.cached_property
    def sensitivity(self) -> Grid | None:
        """The cells of the map over layer and rank; None if there is none."""
        chosen = self.study.sensitivity
        if chosen.method is None:
            return None
        protocol = chosen.protocol or next(iter(self.study.protocols))
        return self._varied(tuple(self.lattice), (protocol,), chosen.benchmarks)

    @functools.cached_property
    def ablations(self) -> Grid | None:
        """The cells of a method and its variants, the method first; None if there are none."""
        chosen = self.study.ablations
        if chosen.method is None:
            return None
        return self._varied((chosen.method, *self.variants), chosen.protocols, chosen.benchmarks)

    @functools.cached_property
    def tuning(self) -> Grid | None:
        """The cells of tuning, whose methods are those tuned; None if there are none."""
        chosen = self.study.tuning
        if not self.tuned:
            return None
        return self._varied(self.tuned, chosen.protocols or (next(iter(self.study.protocols)),), chosen.benchmarks)

    @functools.cached_property
    def tuning_cells(self) -> tuple[tuple[str, str], ...]:
        """What every trial is measured on: a protocol and a benchmark each, by label."""
        protocols = self.tuning.protocols if self.tuning else {}
        return tuple((protocol, benchmark) for protocol, benchmarks in protocols.items() for benchmark in benchmarks)

    def tuning_spec(self, model: str, method: str) -> str:
        """What the search for a method's settings is told, as JSON."""
        study, line = self.study, self._lines[method]
        spec = TuningSpec(
            model_label=model,
            model=study.models[model],
            method=MethodSpec(
                label=method,
                method=line.method,
                settings=self._start(model, method).model_dump(mode="json"),
                section=section_of(line.method, self._known[model]),
            ),
            fixed=tuple(line.settings),
            cells=self.tuning_cells,
            protocols={protocol: study.protocols[protocol] for protocol, _ in self.tuning_cells},
            trials=study.tuning.trials,
            records=study.tuning.records,
            probes=study.tuning.probes,
            seed=study.tuning.seed,
            evaluation=study.evaluation,
            covariances=study.covariances if self.tuning_covariances(model, method) else None,
        )
        return spec.spec()

    def tuning_options(self, model: str) -> str:
        """The records and the unedited model's answers that every search on a model reads, as options of its command."""
        labels = dict.fromkeys(benchmark for _, benchmark in self.tuning_cells)
        files = [
            (at(self.layout.benchmark, benchmark=b), at(self.layout.base, model=model, benchmark=b)) for b in labels
        ]
        return " ".join(
            f"--benchmark {shlex.quote(str(records))} --base {shlex.quote(str(base))}" for records, base in files
        )

    def tuning_bases(self, model: str) -> list[str]:
        """The unedited model's answers to what tuning asks."""
        return [str(at(self.layout.base, model=model, benchmark=b)) for _, b in self.tuning_cells]

    def tuning_covariances(self, model: str, method: str) -> list[str]:
        """The covariances that a search may need: those of each value that a setting may have."""
        start, searched = self._start(model, method), self._searched(method)
        kept = {name: one for name, one in type(start).ranges.items() if name in searched}
        tried = [start, *(start.model_copy(update={name: v}) for name, one in kept.items() for v in given_values(one))]
        layers = dict.fromkeys(layer for settings in tried for layer in settings.needs().covariances)
        return [str(at(self.layout.covariances, model=model, layer=layer)) for layer in layers]

    def covariances_of(self, model: str) -> list[str]:
        """The covariances of a model that any job reads, of edits or of tuning."""
        edits = (file for method in self.methods for file in self.covariance_files(model, method))
        searches = (file for method in self.tuned for file in self.tuning_covariances(model, method))
        return list(dict.fromkeys([*edits, *searches]))

    def tuning_source(self, method: str) -> str:
        """Digest of the code behind the search for a method's settings, of all methods only its own."""
        starts = (self._start(model, method) for model in self.study.models)
        return self.shipped_source("baft.evaluation.tuning", *sources_of(self._method(method), *starts))

    def tuning_jobs(self) -> list[tuple[str, str]]:
        """Model and method of every search."""
        return list(product(self.study.models, self.tuned))

    def _start(self, model: str, label: str) -> MethodSettings:
        line = self._lines[label]
        return untuned_settings(line.method, self._known[model], line.settings, place=f"methods.{label}.settings")

    @functools.cached_property
    def origins(self) -> dict[str, dict[str, str]]:
        """By model and line, who chose its settings; not of methods without any."""
        return {
            model: {
                label: self._origin(line, known)
                for label, line in self._lines.items()
                if settings_class(line.method).model_fields
            }
            for model, known in self._known.items()
        }

    def _origin(self, line: Point, known: str | None) -> str:
        said = origin_of(line.method, section_of(line.method, known))
        return f"{said}, but for settings of this study" if line.settings else said

    def _varied(self, methods: tuple[str, ...], protocols: Sequence[str], benchmarks: Sequence[str]) -> Grid:
        """The cells of these methods; of all protocols and benchmarks unless some are named."""
        chosen = self._chosen(benchmarks)
        run = {
            label: tuple(benchmark for benchmark in there if benchmark in chosen)
            for label, there in self.grid.protocols.items()
            if not protocols or label in protocols
        }
        return self.grid.model_copy(update={"methods": methods, "points": (), "protocols": run})

    @property
    def _grids(self) -> tuple[Grid, ...]:
        return tuple(grid for grid in (self.grid, self.sensitivity, self.ablations) if grid is not None)

    def edit_spec(self, model: str, method: str, protocol: str, benchmark: str, seed: str) -> str:
        """What an edit job is told, as JSON."""
        return self._specs[model, method, protocol, benchmark, seed]

    def edit_options(self, model: str, method: str, protocol: str, benchmark: str, seed: str) -> str:
        """What the edit jobs of a cell have in common, as options of their command, quoted for a shell."""
        return self._edit_options[model, method, protocol, benchmark, seed]

    def edit_source(self, method: str) -> str:
        """Digest of the code behind an edit job, of all methods only its own."""
        return self._edit_sources[method]

    def covariance_files(self, model: str, method: str) -> list[str]:
        """The covariances that an edit job needs: none for most methods."""
        layers = self._settings(model, method).needs().covariances
        return [str(at(self.layout.covariances, model=model, layer=layer)) for layer in layers]

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

    @property
    def uses_covariances(self) -> bool:
        """Whether an edit job needs covariances."""
        return any(self.covariance_files(model, method) for model in self.study.models for method in self.methods)

    def edit_jobs(self) -> list[dict[str, object]]:
        """Wildcards of every shard of every cell, of swept points and of the map too."""
        found = {tuple(shard.values()): shard for grid in self._grids for shard in grid.shards()}
        return list(found.values())

    @functools.cached_property
    def job_counts(self) -> dict[str, int]:
        """How many jobs each rule has in an empty folder, rules without any left out."""
        study = self.study
        counts = {
            "prepare_model": len(study.models),
            "prepare_benchmark": len(study.benchmarks),
            "measure_base": len(study.models) * len(study.benchmarks),
            "collect_covariances": sum(len(self.covariances_of(model)) for model in study.models),
            "tune_method": len(self.tuning_jobs()),
            "edit_shard": len(self.edit_jobs()),
            "summarise_cell": len(self.summaries()),
            "analyse_subspace": len(self.grid.bases()) if self._uses_bases else 0,
        }
        for rule in (*(one.rule for one in self.products), *(f"show_table_{name}" for name in self.table_labels)):
            counts[rule] = 1
        counts |= {"write_report": 1, "write_answers": 1}
        return {rule: count for rule, count in counts.items() if count}

    def summaries(self) -> list[Path]:
        """Record files of every cell, of swept points and of the map too."""
        return list(dict.fromkeys(path for grid in self._grids for path in grid.curve_records()))

    def result_files(self) -> list[Path]:
        """Every file of the result datasets that the study writes, and its prepared benchmarks."""
        return [*self._few_files(), *(file for shard in self.edit_jobs() for file in self._shard_files(shard))]

    def asked_files(self) -> list[Path]:
        """Of the result files those that must be asked for by name: all but the shards' files, and of these the ones that
        are gone though something was made of them or with them. Of every other shard a summary asks for the edits, and the
        probes come with them: naming 100,000 shards twice has its price."""
        done = {summary for summary in self.summaries() if summary.is_file()}
        gone = []
        for shard in self.edit_jobs():
            files = self._shard_files(shard)
            if files[1].is_file() or at(self.layout.record, **shard) in done:
                gone += [file for file in files if not file.is_file()]
        return [*self._few_files(), *gone]

    def _shard_files(self, shard: Mapping[str, object]) -> list[Path]:
        patterns = (self.layout.probes, self.layout.edits, self.kept)
        return [at(pattern, **shard) for pattern in patterns if pattern is not None]

    def _few_files(self) -> list[Path]:
        study, layout = self.study, self.layout
        shared = [at(layout.base, model=model, benchmark=label) for model in study.models for label in study.benchmarks]
        for label in study.benchmarks:
            shared += [at(layout.benchmark, benchmark=label), at(layout.loading, benchmark=label)]
        tuning = self.tuning.trials() if self.tuning else []
        return [*shared, *self.summaries(), *tuning, *(self.grid.bases() if self._uses_bases else [])]

    @property
    def _uses_bases(self) -> bool:
        return any(one.cells == "bases" for one in self.products)

    @functools.cached_property
    def products(self) -> dict[Product, Grid]:
        """The tables and figures that this study has, in the order of the report, with the cells of each."""
        grids = {
            "sequences": self.sequences,
            "sensitivity": self.sensitivity,
            "ablations": self.ablations,
            "tuning": self.tuning,
        }
        found = {}
        for one in all_products():
            grid = grids.get(one.cells, self.grid)
            if grid is not None and self._has_methods_of(one):
                told = {key: self._setting(key) for key in one.settings}
                says = isinstance(one, TableProduct) and one.of_cells
                found[one] = grid.model_copy(update={"settings": told, "origins": self.origins if says else {}})
        return found

    @property
    def tables(self) -> list[TableProduct]:
        """The tables among :attr:`products`."""
        return [one for one in self.products if isinstance(one, TableProduct)]

    @property
    def table_labels(self) -> dict[str, str]:
        """Labels of the tables by name, all those of a job that makes several."""
        return {name: label for table in self.tables for name, label in table.labels.items()}

    @property
    def figures(self) -> list[FigureProduct]:
        """The figures among :attr:`products`."""
        return [one for one in self.products if isinstance(one, FigureProduct)]

    @functools.cached_property
    def page(self) -> PageSpec:
        """What the pages of the study are told."""
        return PageSpec(
            # Which edits are kept shows on no page.
            config=self.study.model_dump(mode="json", exclude={"keep_edits"}),
            grid=self.grid,
            tables=self.table_labels,
            figures={figure.name: figure.label for figure in self.figures},
            methods=tuple(
                RunMethod(
                    **self._spec(model, label, point).model_dump(), model=model, given=dict(self._lines[label].settings)
                )
                for label, point in self._lines.items()
                for model in self.study.models
            ),
        )

    def page_spec(self) -> str:
        """:attr:`page` as JSON."""
        return self.page.model_dump_json()

    def page_source(self, module: str) -> str:
        """Digest of the code behind a page, with its templates and the captions."""
        files = [*(ROOT / "baft/report/page/templates").glob("*"), *(ROOT / "workflow/report").glob("*.rst")]
        return source_digest(module, files=tuple(sorted(files)))

    def _has_methods_of(self, one: Product) -> bool:
        if one.cells != "bases":
            return True
        found = [bases for label in self._analysed.values() if (bases := self._bases_of(label)) is not None]
        return self.study.analysis.records > 0 and any(bases.varies or not one.weighed for bases in found)

    def _setting(self, key: str) -> JsonValue:
        value: Any = self.study
        for part in key.split("."):
            value = getattr(value, part)
        found: JsonValue = value
        return found

    def product_files(self, one: Product) -> list[Path]:
        """The files that a table or figure is made of."""
        return self.products[one].files(one.cells)

    def product_spec(self, one: Product) -> str:
        """What the job of a table or figure is told, as JSON."""
        return self.products[one].model_dump_json()

    def analysis_spec(self, model: str) -> str:
        """What the analysis jobs of a model are told, as JSON."""
        study, analysis = self.study, self.study.analysis
        changed = {"rank": analysis.rank} | ({} if analysis.layer is None else {"layer": analysis.layer})
        spec = AnalysisSpec(
            model_label=model,
            model=study.models[model],
            methods=tuple(
                self._spec(model, label, Point(method, {**self._lines[label].settings, **changed}))
                for method, label in self._analysed.items()
            ),
            seed=study.seeds[0],
            records=analysis.records,
        )
        return spec.model_dump_json(exclude={"model": {"resources"}})

    def analysis_source(self) -> str:
        """Digest of the code behind the analysis, of all methods only its own."""
        return self.shipped_source(
            "baft.analysis.subspaces", *(source for method in self._analysed for source in sources_of(method))
        )

    def model_spec(self, model: str) -> str:
        """A model as JSON."""
        return self._model_specs[model]

    def model_source(self, model: str) -> str:
        """Where a model comes from, as JSON: studies that share a cache prepare it once, whatever else they say of it."""
        return model_source(self.study.models[model])

    def model_numbers(self, model: str) -> str:
        """What decides a model's numbers, as JSON."""
        return model_numbers(self.study.models[model])

    def model_contents(self, model: str) -> str:
        """Fingerprint of a model that the user keeps in a folder, who may change it; empty for one that is pinned.

        The content counts and not the time of a file, or a copy of an unchanged model would rerun the whole study.
        """
        return self._model_contents[model]

    def model_inputs(self, model: str) -> list[str]:
        """The files of a model that the user keeps in a folder."""
        from baft.models.files import model_files

        section = self.study.models[model]
        if section.source != "folder" or not section.path:
            return []
        return [f"{section.path}/{name}" for name in model_files(Path(section.path))]

    def benchmark_spec(self, benchmark: str) -> str:
        """A benchmark as JSON, without its shards, which are not the records' business."""
        section = self.study.benchmarks[benchmark]
        if section.source == "file" and section.path:
            section = section.model_copy(update={"path": self.study.located(section.path)})
        return section.model_dump_json(exclude={"shards"})

    def benchmark_files(self, benchmark: str) -> list[str]:
        """Local files that a benchmark is read from."""
        section = self.study.benchmarks[benchmark]
        return [self.study.located(section.path)] if section.source == "file" and section.path else []

    def covariances_text(self) -> list[str]:
        """The local file or folder that the covariances are collected from."""
        covariances = self.study.covariances
        return [covariances.path] if covariances.source == "file" and covariances.path else []

    def source(self, *modules: str | Path) -> str:
        """Digest of the code behind the entry points of a job."""
        return source_digest(*modules)

    def shipped_source(self, *modules: str | Path) -> str:
        """The same of a job that reads the project's own texts and facts, with those."""
        return source_digest(*modules, files=tuple(sorted((ROOT / "resources").glob("**/*.*"))))

    def resources(self, model: str) -> dict[str, int]:
        """What a job of a model asks of a cluster."""
        return self._resources[model]

    def cell_folder(self, pattern: str, **cell: str) -> str:
        """Folder of the shards of a cell."""
        return str(at(pattern.partition("/shard=")[0], **cell))

    def shards(self, benchmark: str) -> int:
        """Into how many jobs a cell is dealt."""
        return self.study.benchmarks[benchmark].shards

    @functools.cached_property
    def _lines(self) -> dict[str, Point]:
        return {label: Point(section.method or label, section.settings) for label, section in self.study.lines.items()}

    @functools.cached_property
    def _analysed(self) -> dict[str, str]:
        """The methods whose edits are made of bases, with the line of each: that of its name, or else the first."""
        found: dict[str, str] = {}
        for label, line in sorted(self._lines.items(), key=lambda item: item[0] != item[1].method):
            if self._bases_of(label) is not None:
                found.setdefault(line.method, label)
        return found

    def _bases_of(self, label: str) -> Bases | None:
        """What a line's edits are made of, which no model changes."""
        return self._merged(next(iter(self.study.models)), label, self._lines[label]).bases()

    @functools.cached_property
    def _model_specs(self) -> dict[str, str]:
        return {label: model_spec(model) for label, model in self.study.models.items()}

    @functools.cached_property
    def _model_contents(self) -> dict[str, str]:
        from baft.models.files import planned_fingerprint

        return {
            label: planned_fingerprint(Path(section.path), at(self.layout.model, model=label))
            if section.source == "folder" and section.path
            else ""
            for label, section in self.study.models.items()
        }

    @functools.cached_property
    def _edit_sources(self) -> dict[str, str]:
        return {
            label: self.shipped_source(
                "baft.evaluation.jobs",
                *sources_of(self._method(label), *(self._settings(model, label) for model in self.study.models)),
            )
            for label in self.methods
        }

    @functools.cached_property
    def _resources(self) -> dict[str, dict[str, int]]:
        return {label: model.resources.model_dump() for label, model in self.study.models.items()}

    @functools.cached_property
    def _specs(self) -> dict[Key, str]:
        """One text a cell, however many jobs are told it."""
        study = self.study
        where = [
            (protocol, benchmark) for protocol, benchmarks in self.grid.protocols.items() for benchmark in benchmarks
        ]
        axes = product(study.models, self.methods, where, study.seeds)
        needed = {pair for pair in product(study.models, self.methods) if self.covariance_files(*pair)}
        return {
            (model, method, protocol, benchmark, str(seed)): Cell(
                model_label=model,
                model=study.models[model],
                method=self._spec(model, method, self.methods[method]),
                protocol_label=protocol,
                protocol=study.protocols[protocol],
                benchmark=benchmark,
                seed=seed,
                evaluation=study.evaluation,
                covariances=study.covariances if (model, method) in needed else None,
            ).spec()
            for model, method, (protocol, benchmark), seed in axes
        }

    @functools.cached_property
    def _edit_options(self) -> dict[Key, str]:
        return {key: self._options_of(key, spec) for key, spec in self._specs.items()}

    def _options_of(self, key: Key, spec: str) -> str:
        cell = dict(zip(_CELL, key, strict=True))
        options = {
            "spec": spec,
            "benchmark": at(self.layout.benchmark, **cell),
            "shards": self.shards(cell["benchmark"]),
            "checkpoints": self.cell_folder(self.layout.checkpoints, **cell),
        }
        return " ".join(f"--{name} {shlex.quote(str(value))}" for name, value in options.items())

    def _chosen(self, benchmarks: Sequence[str]) -> tuple[str, ...]:
        """Those benchmarks in the order of the config; all of them if none is named."""
        return tuple(label for label in self.study.benchmarks if not benchmarks or label in benchmarks)

    def _is_line(self, label: str, point: Point) -> bool:
        """Whether a point has what its line has anyway, for every model."""
        line = line_of(label)
        return all(
            self._merged(model, label, point) == self._merged(model, line, self._lines[line])
            for model in self.study.models
        )

    def _spec(self, model: str, label: str, point: Point) -> MethodSpec:
        return MethodSpec(
            label=label,
            method=point.method,
            settings=self._merged(model, label, point).model_dump(mode="json"),
            section=section_of(point.method, self._known[model]),
        )

    def _method(self, label: str) -> str:
        return self.methods[label].method

    def _settings(self, model: str, label: str) -> MethodSettings:
        return self._merged(model, label, self.methods[label])

    def _merged(self, model: str, label: str, point: Point) -> MethodSettings:
        return method_settings(point.method, self._known[model], point.settings, place=f"methods.{label}.settings")

    def known(self, model: str) -> str | None:
        """The known model that a model is; None if it is none."""
        return self._known[model]

    @functools.cached_property
    def _known(self) -> dict[str, str | None]:
        """By the label of a model, the known model that it is."""
        return {label: known_at_planning(model) for label, model in self.study.models.items()}
