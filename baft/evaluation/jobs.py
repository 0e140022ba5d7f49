"""The jobs that run a model: the unedited model's answers, key covariances, and one shard of one cell."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor
from transformers.utils import logging as notices

from baft.benchmarks.records import Benchmark, Record
from baft.benchmarks.sharding import shard as shard_of
from baft.benchmarks.store import read_benchmark
from baft.config import CovariancesConfig, EvaluationConfig, MethodSpec, ModelConfig, check_section, said_of_section
from baft.engine.engine import Engine
from baft.engine.state import EditState
from baft.errors import UserError
from baft.evaluation.checkpoints import Checkpoints
from baft.evaluation.covariances import collect_configured, origin_of, read_covariances, write_covariance
from baft.evaluation.drift import perplexity_ratios, unedited_nlls
from baft.evaluation.editing import withheld_of
from baft.evaluation.inputs import JobInputs
from baft.evaluation.keeping import Keeping
from baft.evaluation.metrics import MEASURED, Asked, Columns, Key, Measured, describe, failed, measure, measure_unedited
from baft.evaluation.protocols import streams_of
from baft.evaluation.streams import Runner, Scoring
from baft.methods.base import Context, Method
from baft.methods.registry import create
from baft.models.architectures import architecture_of
from baft.models.loading import device_name, load_prepared
from baft.models.prepare import read_card, unchanged
from baft.results.provenance import Conditions, conditions_of, differ, libraries
from baft.results.provenance import collect as provenance_of
from baft.results.schema import EDITS, PROBES
from baft.results.store import read_provenance, read_table, write_rows, write_tables

BASE = pa.schema([*PROBES, pa.field("argmax", pa.list_(pa.int32())), pa.field("states", pa.large_binary())])
"""Rows of the unedited model, with its own choice at the forced positions of the first answer.

Of a locality probe also ``states``, what enters the output head there: L·d numbers in the model's dtype, from which the
distributions over the whole vocabulary are made again exactly.
"""


RECORDS = 16
"""Records between two lines of progress of the unedited model."""


def load_engine(config: ModelConfig, folder: Path) -> Engine:
    """An engine around a prepared model, as the config says it is run."""
    quiet()
    loaded = load_prepared(config, folder)
    engine = Engine.of(
        loaded.model,
        loaded.tokenizer,
        prompt_format=config.prompt_format,
        template_date=config.template_date,
        token_budget=config.token_budget,
        architecture=architecture_of(loaded.model, config.modules.model_dump(exclude_none=True)),
    )
    return replace(engine, fingerprint=loaded.fingerprint, commit=loaded.commit)


def check_still(engine: Engine, config: ModelConfig, folder: Path) -> None:
    """Raises UserError if the model in ``folder`` is no longer what ``engine`` was loaded from.

    On a CPU the system reads weights from their file as they are needed, so that a change of the file is one of the model.
    """
    if engine.fingerprint and unchanged(config, folder).fingerprint != engine.fingerprint:
        raise UserError(f"The model in {folder} was prepared anew while this job used it: start the run again.")


def quiet() -> None:
    """Silences the model library's own notices, which would bury the progress lines."""
    notices.set_verbosity_error()  # type: ignore[no-untyped-call]
    notices.disable_progress_bar()  # type: ignore[no-untyped-call]


def measure_base(model: ModelConfig, folder: Path, benchmark: Path, evaluation: EvaluationConfig, out: Path) -> None:
    """Asks the unedited model every probe of a benchmark and writes its answers.

    Raises UserError if it can answer none of them.
    Its negative log-probabilities (nats a token) of the pieces of general text are in the provenance as ``drift_nlls``.
    """
    engine, data = load_engine(model, folder), read_benchmark(benchmark)
    rows = []
    progress = Progress(f"measure_base {data.name}", len(data.records), "records")
    for start in range(0, len(data.records), RECORDS):
        records = data.records[start : start + RECORDS]
        asked = [Asked(0, record, probe) for record in records for probe in record.probes]
        for one, now in zip(asked, measure_unedited(engine, asked, evaluation), strict=True):
            row = describe(one) | now.columns | {"stream_id": "", "step": -1, "edits": 0, "moment": "before"}
            rows.append(row | {"argmax": list(now.argmax), "states": _packed(now.states)})
        progress.advance(len(records))
    about = {"model": model.model_dump(exclude={"resources"}), "evaluation": evaluation.model_dump()}
    unmeasured = [row["error"] for row in rows if row.get("error") is not None]
    if unmeasured and len(unmeasured) == len(rows):
        raise UserError(
            f"The unedited model answers none of the {len(rows)} probes of {data.name} ({unmeasured[0].rstrip('.')}), so "
            "there is nothing to compare its edits with: check its weights, its dtype and the benchmark."
        )
    conditions = conditions_of_run(engine, model, data, evaluation, {}, {}, len(data.records))
    drift = unedited_nlls(engine) if evaluation.drift_tokens else None
    check_still(engine, model, folder)
    write_rows(rows, BASE, out, provenance_of_run(engine, conditions, about, drift_nlls=drift))


def collect_covariances(model: ModelConfig, folder: Path, layer: str, text: CovariancesConfig, out: Path) -> None:
    """Collects the covariance of the keys of one block's MLP output layer. Raises UserError if the text is too short."""
    engine = load_engine(model, folder)
    covariance = collect_configured(engine, layer, text)
    check_still(engine, model, folder)
    write_covariance(covariance, origin_of(engine, layer, text), out)


def edit_shard(inputs: JobInputs, probes: Path, edits: Path, checkpoints: Path, kept: Path | None = None) -> None:
    """Edits and questions one shard of a cell's streams and writes its probe and edit rows.

    A job that was killed goes on from what it left in ``checkpoints``; they stay when it is done, for Snakemake may not
    have seen it. The provenance has the seconds from the start of the process until its model was there as ``loading``, and
    that of the edits, which are written last, as ``seconds`` those until then, with those of earlier attempts. The edits of
    the records that ``inputs.keep`` names are saved beside their index ``kept``.
    """
    cell, data = inputs.cell, read_benchmark(inputs.benchmark)
    engine = load_engine(cell.model, inputs.folder)
    loading = _running()
    method = method_of(cell.method, engine, inputs.folder)
    covariances = read_covariances(engine, inputs.covariances, cell.covariances or CovariancesConfig())
    context = Context(cell.seed, covariances, withheld_of(data.records))
    method.check(engine, context)
    streams = shard_of(streams_of(cell.protocol, data.records), inputs.shard, inputs.shards)
    records = sum(stream.edits(len(stream.batches)) for stream in streams)
    settings = {"name": cell.method.method, **cell.method.settings, **_contents(method.settings.files())}
    protocol = {"label": cell.protocol_label, **cell.protocol.model_dump(mode="json", exclude={"benchmarks"})}
    conditions = conditions_of_run(engine, cell.model, data, cell.evaluation, settings, protocol, records)
    check_base(inputs.base, conditions)
    before = read_base(inputs.base, [record for s in streams for batch in s.batches for record in batch], engine)
    nlls = read_provenance(inputs.base)["drift_nlls"]
    place = f"{cell.model_label} {cell.method.label} {cell.protocol_label} {cell.benchmark}"
    digest = inputs.digest(device=engine.model.device.type)
    keeping = None if kept is None else Keeping.of(cell, engine, inputs.folder, kept.parent, inputs.keep)
    runner = Runner(
        engine,
        method,
        cell.protocol,
        context,
        lambda state, wanted: list(score(engine, state, wanted, before, cell.evaluation)),
        lambda state, ids: perplexity_ratios(engine, state, ids, nlls, cell.evaluation.drift_tokens),
        Checkpoints(checkpoints, digest, engine.model),
        Progress(f"edit_shard {place}", records, "edits").advance,
        keeping,
    )
    groups = runner.run(streams, cell.model.streams)
    try:
        check_still(engine, cell.model, inputs.folder)
    except UserError:
        runner.checkpoints.clear()
        raise
    more: dict[str, Any] = {"halvings": engine.budget.halvings, "loading": loading}
    if keeping is not None:
        more["kept"] = digest
    about = provenance_of_run(engine, conditions, cell.model_dump(mode="json"), **more)
    write_tables(runner.checkpoints.tables("probes", groups), PROBES, probes, about)
    seconds = max(_running(), round(loading + runner.checkpoints.seconds(groups), 2))
    write_tables(runner.checkpoints.tables("edits", groups), EDITS, edits, about | {"seconds": seconds})
    if keeping is not None:
        keeping.finish(digest, runner.checkpoints.kept(groups))


def method_of(spec: MethodSpec, engine: Engine, folder: Path) -> Method:
    """The method of a job, and a line on standard error about which settings it has.

    Raises UserError if the model in ``folder`` is not the one that they were chosen for.
    """
    check_section(spec.method, spec.section, engine.model.model.config, read_card(folder)["source"])
    print(f"settings of {spec.label}: {said_of_section(spec.method, spec.section)}", file=sys.stderr, flush=True)
    return create(spec.method, spec.settings)


def _contents(files: Sequence[str]) -> dict[str, dict[str, str]]:
    """Hashes of a user's ``files``, by path: numbers that were made by others cannot be joined."""
    return {"files": {file: hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files}} if files else {}


def _running() -> float:
    """Seconds since the process started."""
    started: float = psutil.Process().create_time()
    return round(time.time() - started, 2)


class Progress:
    """Lines on standard error: what, how many of how many, how fast, how long still."""

    def __init__(self, what: str, total: int, unit: str):
        self.what, self.total, self.unit = what, total, unit
        self.done, self.found, self.start = 0, 0, time.monotonic()
        # Long before the first of them is done.
        print(f"{what}: 0/{total} {unit}", file=sys.stderr, flush=True)

    def advance(self, count: int, found: int = 0) -> None:
        """``count`` more are done, ``found`` of them by an earlier attempt: they tell nothing of how fast this one is."""
        self.done += count
        self.found += found
        line = f"{self.what}: {self.done}/{self.total} {self.unit}"
        if made := self.done - self.found:
            rate = made / max(time.monotonic() - self.start, 1e-9)
            digits = f"{rate:.2f}" if rate >= 1 else f"{rate:.2g}"
            line += f", {digits} {self.unit}/s, {(self.total - self.done) / rate:.0f} s left"
        print(line, file=sys.stderr, flush=True)


def score(
    engine: Engine,
    state: EditState,
    wanted: Sequence[Scoring],
    before: Mapping[Key, Measured],
    evaluation: EvaluationConfig,
) -> Iterator[Columns]:
    """Probe rows of what is to be scored: every probe asked of its stream in ``state`` and compared with ``before``."""
    probes = [
        (one, record, Asked(one.place, record, probe))
        for one in wanted
        for record in one.records
        for probe in record.probes
    ]
    # Moments that fall on one state share its answers.
    asked = {(this.stream, this.key): this for one, record, this in probes if record.id not in one.failed}
    answers = measure(engine, state, list(asked.values()), evaluation, before)
    after = dict(zip(asked, answers, strict=True))
    for one, record, this in probes:
        error = one.failed.get(record.id)
        columns = after[this.stream, this.key] if error is None else failed(error, before[this.key])
        yield (
            describe(this)
            | columns
            | {
                "stream_id": one.stream.id,
                "step": one.stream.step_of(record),
                "edits": one.edits,
                "moment": one.moment,
            }
        )


def read_base(path: Path, records: Sequence[Record], engine: Engine) -> dict[Key, Measured]:
    """The unedited model's replies to the probes of ``records``, and to no others.

    Raises UserError if it was not asked one of them, or asked it with another prompt or other accepted answers.
    """
    probes = {asked.key: asked for record in records for asked in (Asked(0, record, probe) for probe in record.probes)}
    table = read_table([path], BASE.names)
    table = table.filter(
        pc.is_in(table["record_id"], value_set=pa.array({record.id for record in records}, pa.string()))
    )
    found = {}
    for row in table.to_pylist():
        key = (row["record_id"], row["kind"], row["group"], row["index"])
        if key not in probes:
            continue
        # The ids say what a probe is for, not what is asked: a benchmark prepared in another format has the same.
        if any(row[name] != own for name, own in describe(probes[key]).items()):
            raise UserError(
                f"{path} holds answers of the unedited model to probes of record {key[0]} that had another prompt or other "
                "accepted answers: delete it and start the run again."
            )
        columns = {"error": row["error"]} if row["error"] is not None else {name: row[name] for name in MEASURED}
        found[key] = Measured(columns, tuple(row["argmax"]), _unpacked(row["states"], engine))
    for key in probes:
        if key not in found:
            raise UserError(
                f"{path} lacks answers of the unedited model to probes of record {key[0]}: delete it and start the run "
                "again."
            )
    return found


def check_base(base: Path, conditions: Conditions) -> None:
    """Raises UserError unless the unedited model's answers were taken under the conditions of the edits."""
    found = conditions_of(read_provenance(base), base)
    for name in (
        field.name for field in fields(Conditions) if field.compare and field.name not in ("method", "protocol")
    ):
        if differ(theirs := getattr(found, name), ours := getattr(conditions, name)):
            raise UserError(
                f"{base} holds answers of the unedited model that were taken with another {name} ({theirs}; this job has "
                f"{ours}): delete it and start the run again."
            )


def _packed(states: Tensor | None) -> bytes | None:
    return None if states is None else states.cpu().contiguous().view(torch.uint8).numpy().tobytes()


def _unpacked(packed: bytes | None, engine: Engine) -> Tensor | None:
    if packed is None:
        return None
    return torch.frombuffer(bytearray(packed), dtype=engine.model.dtype).reshape(-1, engine.model.hidden_size)


def conditions_of_run(
    engine: Engine,
    model: ModelConfig,
    data: Benchmark,
    evaluation: EvaluationConfig | None,
    method: Mapping[str, Any],
    protocol: Mapping[str, Any],
    records: int,
) -> Conditions:
    """What a job's numbers were measured under: ``method`` and ``protocol`` as run, ``records`` run.

    ``evaluation`` is None for a job that asks a model nothing.
    """
    return Conditions(
        model=engine.fingerprint,
        protocol=protocol,
        method=method,
        benchmark=data.name,
        revision=data.revision,
        sha256=data.sha256,
        split=data.split,
        prompt_format=model.prompt_format,
        dtype=model.dtype,
        template_date=engine.text.template_date,
        evaluation={} if evaluation is None else evaluation.model_dump(mode="json"),
        bos=engine.text.bos,
        attention=model.attention or "",
        records=records,
        rejected=len(data.rejected),
        threads=torch.get_num_threads(),
        commit=engine.commit,
        libraries=libraries(),
    )


def provenance_of_run(engine: Engine, conditions: Conditions, config: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """The provenance of what a job writes, with the device its model is on."""
    device: torch.device = engine.model.device
    return provenance_of(conditions, device=device.type, device_name=device_name(device), config=config, **more)
