"""The job that tunes one method on one model: trial after trial, each measured as a cell is and kept as a file.

A search that was stopped is asked and told its finished trials again and goes on with the next, so that it has the
trials of one that was not. One of more trials goes on in the same way.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch.linalg import LinAlgError  # type: ignore[attr-defined]

from baft.benchmarks.planned import check_rephrasings
from baft.benchmarks.records import Benchmark, Probe, Record
from baft.benchmarks.store import read_benchmark
from baft.config import CovariancesConfig, EvaluationConfig, ProtocolConfig, TuningSpec, check_section, said_of_section
from baft.config.methods import checked_settings
from baft.engine.engine import Engine
from baft.errors import UserError
from baft.evaluation.checkpoints import Checkpoints
from baft.evaluation.covariances import read_covariances
from baft.evaluation.editing import withheld_of
from baft.evaluation.inputs import TuningInputs
from baft.evaluation.jobs import (
    Progress,
    check_base,
    check_still,
    conditions_of_run,
    load_engine,
    provenance_of_run,
    read_base,
    score,
)
from baft.evaluation.metrics import Key
from baft.evaluation.metrics import Measured as Reply
from baft.evaluation.protocols import Stream, streams_of
from baft.evaluation.search import Search
from baft.evaluation.streams import Runner
from baft.methods.base import Context, Method
from baft.methods.registry import create
from baft.methods.settings import Between, MethodSettings, OneOf
from baft.models.prepare import read_card
from baft.results.areas import pareto_front
from baft.results.objective import LOCALITY, SIDES, Measured, objective_of
from baft.results.provenance import Conditions
from baft.results.schema import ALL_GROUPS, EDITS, PROBES, TRIALS
from baft.results.store import read_provenance, read_table, write_rows, write_tables
from baft.results.summaries import summarise_cell

Row = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A protocol and a benchmark that every trial is measured on, with the unedited model's replies.

    ``kinds`` are those that the objective is made of and the unedited model answers, ``conditions`` those of a trial but for
    its settings, and ``withheld`` what no edit may be trained on.
    """

    protocol_label: str
    protocol: ProtocolConfig
    benchmark: str
    streams: Sequence[Stream]
    before: Mapping[Key, Reply]
    kinds: tuple[str, ...]
    conditions: Conditions
    withheld: frozenset[str]


def tune_method(inputs: TuningInputs, kept: Path, out: Path) -> None:
    """Tries settings of a method and writes all trials to ``out``; each is kept in the folder ``kept`` once it is done.

    Settings that the method refuses for this model, and trials of which every edit fails, are failed trials with their
    reason and an objective of 0. Raises UserError if the method refuses the settings that the search starts with, if a
    benchmark has no rephrasings, and if what it reads is not what it was planned for.
    """
    spec = inputs.spec
    engine = load_engine(spec.model, inputs.folder)
    check_section(
        spec.method.method, spec.method.section, engine.model.model.config, read_card(inputs.folder)["source"]
    )
    start = checked_settings(spec.method.method, spec.method.settings)
    print(f"the search begins with settings of {spec.method.label}: {_short(start, spec)}", file=sys.stderr, flush=True)
    digest = inputs.digest(device=engine.model.device.type)
    trials = _Trials(inputs, engine, kept, digest, places_of(inputs, engine))
    space = space_of(start, spec.fixed, engine)
    search = Search(space, {name: getattr(start, name) for name in _named(space)}, spec.seed)
    progress = Progress(f"tune_method {spec.model_label} {spec.method.label}", spec.trials, "trials")
    rows: list[Row] = []
    for number in range(spec.trials):
        told = {**dict(start), **search.ask()}
        found = trials.found(number, told)
        row = found or trials.row(number, told, _named(space), rows)
        search.tell(row["objective"])
        rows.append(row)
        progress.advance(1, found=int(found is not None))
    check_still(engine, spec.model, inputs.folder)
    write_rows(_with_front(rows), TRIALS, out, trials.about)
    shutil.rmtree(trials.scratch, ignore_errors=True)


def space_of(start: MethodSettings, fixed: Sequence[str], engine: Engine) -> dict[str, Between | OneOf]:
    """What is searched around ``start`` in the engine's model, by name: all that has a range and is not ``fixed``."""
    found = {
        name: one.around(getattr(start, name), engine.model.layer)
        for name, one in start.ranges.items()
        if name not in fixed
    }
    return {
        name: replace(one, also=tuple(other for other in one.also if other not in fixed)) for name, one in found.items()
    }


def _named(space: Mapping[str, Any]) -> list[str]:
    """The settings that a search changes."""
    return [name for own, one in space.items() for name in (own, *one.also)]


def _short(start: MethodSettings, spec: TuningSpec) -> str:
    own = json.loads(start.model_dump_json(include=set(start.ranges) - set(spec.fixed)))
    said = ", ".join(f"{name} {value}" for name, value in own.items())
    return f"{said} ({said_of_section(spec.method.method, spec.method.section)})"


def places_of(inputs: TuningInputs, engine: Engine) -> list[Place]:
    """What every trial is measured on. Raises UserError as of :func:`tune_method`."""
    spec = inputs.spec
    labels = list(dict.fromkeys(benchmark for _, benchmark in spec.cells))
    files = dict(zip(labels, zip(inputs.benchmarks, inputs.bases, strict=True), strict=True))
    data = {label: read_benchmark(records) for label, (records, _) in files.items()}
    for label, benchmark in data.items():
        check_rephrasings(label, benchmark.records[: spec.records])
    return [_place(spec, engine, protocol, label, data[label], files[label][1]) for protocol, label in spec.cells]


def _place(spec: TuningSpec, engine: Engine, protocol: str, label: str, data: Benchmark, base: Path) -> Place:
    own = spec.protocols[protocol]
    records = tuple(_asked(record, spec.probes) for record in data.records[: spec.records])
    conditions = conditions_of_run(
        engine, spec.model, data, spec.evaluation, {}, own.model_dump(mode="json"), len(records)
    )
    check_base(base, conditions)
    before = read_base(base, records, engine)
    answered = {key[1] for key, reply in before.items() if "error" not in reply.columns}
    kinds = tuple(kind for kind in SIDES if kind in answered)
    if not set(kinds) - {LOCALITY}:
        raise UserError(
            f"The unedited model answers no probe of {label} that an edit should change: leave it out of tuning."
        )
    return Place(protocol, own, label, streams_of(own, records), before, kinds, conditions, withheld_of(data.records))


def _asked(record: Record, most: int | None) -> Record:
    """A record with the probes of which the objective is made, ``most`` of each group unless it is None."""
    groups: dict[tuple[str, str], list[Probe]] = {}
    for probe in record.probes:
        if probe.kind in SIDES:
            groups.setdefault((probe.kind, probe.group), []).append(probe)
    return replace(record, probes=tuple(probe for group in groups.values() for probe in group[:most]))


@dataclass(frozen=True)
class _Trials:
    """The trials of one search, done or kept."""

    inputs: TuningInputs
    engine: Engine
    kept: Path
    digest: str
    places: Sequence[Place]

    @property
    def scratch(self) -> Path:
        """What a trial writes until it is done."""
        return self.kept / "running"

    @property
    def about(self) -> dict[str, Any]:
        """The provenance of trials."""
        spec = self.inputs.spec
        config = {**json.loads(spec.spec()), "digest": self.digest}
        return provenance_of_run(self.engine, self.places[0].conditions, config, digest=self.digest)

    def row(self, number: int, settings: Mapping[str, Any], searched: Sequence[str], earlier: Sequence[Row]) -> Row:
        """The trial of that number, done now and kept, or as one of the ``earlier`` ones was."""
        told = json.dumps(settings, sort_keys=True)
        row = {"trial": number, "settings": told}
        row["searched"] = json.dumps({name: settings[name] for name in searched})
        same = next((one for one in earlier if one["settings"] == told), None)
        began = time.perf_counter()
        if same is not None:
            row = {**same, **row, "repeats": same["trial"] if same["repeats"] is None else same["repeats"]}
        else:
            row |= {"repeats": None, **self._tried(number, settings)}
        row["seconds"] = time.perf_counter() - began
        write_rows([row], TRIALS, self._file(number), self.about)
        return row

    def _file(self, number: int) -> Path:
        return self.kept / f"trial-{number}.parquet"

    def found(self, number: int, settings: Mapping[str, Any]) -> Row | None:
        """The trial of that number as an earlier attempt left it, if it was of these settings and nothing has changed."""
        file = self._file(number)
        try:
            if read_provenance(file)["digest"] != self.digest:
                return None
            row: Row = read_table([file], TRIALS.names).to_pylist()[0]
        except UserError:
            # Not there, or damaged.
            return None
        return row if row["settings"] == json.dumps(settings, sort_keys=True) else None

    def _tried(self, number: int, settings: Mapping[str, Any]) -> Row:
        """What came of a trial."""
        method_name = self.inputs.spec.method.method
        try:
            own = checked_settings(method_name, settings)
            method = create(method_name, own)
            context = Context(self.inputs.spec.seed, self._covariances(own))
            method.check(self.engine, context)
        except UserError as error:
            if number == 0:
                raise
            return _failed(str(error))
        measured, scores, edits, errors = [], [], 0, []
        for place in self.places:
            try:
                records, made = self._measured(method, replace(context, withheld=place.withheld), place)
            except LinAlgError as error:
                return _failed(f"{place.benchmark}: {error}")
            means = _means(records)
            measured.append(Measured(place.kinds, means))
            where = {"protocol": place.protocol_label, "benchmark": place.benchmark}
            wanted = (metric for kind in place.kinds for metric in SIDES[kind])
            scores += [{**where, "metric": metric, "value": means.get(metric)} for metric in wanted]
            edits += len(made)
            errors += [error for error in made if error is not None]
        if len(errors) == edits:
            return {**_failed(errors[0]), "scores": scores, "edits": edits, "failed_edits": len(errors)}
        found = objective_of(measured)
        return {
            "state": "done",
            "objective": found.value,
            "editing": found.editing,
            "locality": found.locality,
            "pareto": None,
            "scores": scores,
            "edits": edits,
            "failed_edits": len(errors),
            "error": errors[0] if errors else None,
        }

    def _covariances(self, settings: MethodSettings) -> Mapping[Any, torch.Tensor]:
        """Those that these settings need, of all that the search may."""
        names = {f"layer-{layer}" for layer in settings.needs().covariances}
        files = [path for path in self.inputs.covariances if path.stem in names]
        return read_covariances(self.engine, files, self.inputs.spec.covariances or CovariancesConfig())

    def _measured(self, method: Method, context: Context, place: Place) -> tuple[pa.Table, list[str | None]]:
        """The values of every record after its edit, as the summary of a cell has them; and each edit's error."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        # Of no part of the objective.
        evaluation: EvaluationConfig = self.inputs.spec.evaluation.model_copy(
            update={"fluency_tokens": 0, "drift_tokens": 0}
        )
        runner = Runner(
            self.engine,
            method,
            place.protocol,
            context,
            lambda state, wanted: list(score(self.engine, state, wanted, place.before, evaluation)),
            lambda state, ids: [None] * len(ids),
            Checkpoints(self.scratch / "steps", self.digest, self.engine.model),
            lambda count, found: None,
        )
        groups = runner.run(place.streams, self.inputs.spec.model.streams)
        about = provenance_of_run(self.engine, place.conditions, {})
        files = {"probes": self.scratch / "probes.parquet", "edits": self.scratch / "edits.parquet"}
        for (kind, file), schema in zip(files.items(), (PROBES, EDITS), strict=True):
            write_tables(runner.checkpoints.tables(kind, groups), schema, file, about)
        summary = self.scratch / "records.parquet"
        summarise_cell([files["probes"]], [files["edits"]], summary)
        return read_table([summary]), read_table([files["edits"]], ["error"])["error"].to_pylist()


def _means(records: pa.Table) -> dict[str, float]:
    """By metric, the mean over records after a stream's last edit; of what was measured."""
    shown = records.filter(pc.and_(pc.equal(records["moment"], "final"), pc.equal(records["group"], ALL_GROUPS)))
    means = shown.group_by("metric", use_threads=False).aggregate([("value", "mean")])
    pairs = zip(means["metric"].to_pylist(), means["value_mean"].to_pylist(), strict=True)
    return {metric: value for metric, value in pairs if value is not None}


def _failed(why: str) -> Row:
    nothing = dict.fromkeys(("editing", "locality", "pareto"))
    return {"state": "failed", "objective": 0.0, **nothing, "scores": [], "edits": 0, "failed_edits": 0, "error": why}


def _with_front(rows: Sequence[Row]) -> list[Row]:
    """The trials with those on the Pareto front of editing and locality told; failed ones are never on it."""
    sides = [[math.nan if row[side] is None else row[side] for side in ("editing", "locality")] for row in rows]
    return [{**row, "pareto": bool(on)} for row, on in zip(rows, pareto_front(sides), strict=True)]
