"""The jobs that run a model: the unedited model's answers, key moments, and one shard of one cell."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from transformers.utils import logging as notices

from baft.benchmarks.records import Benchmark, Record
from baft.benchmarks.sharding import shard as shard_of
from baft.benchmarks.store import read_benchmark
from baft.config import Cell, EvaluationConfig, ModelConfig, MomentsConfig
from baft.engine.asking import Decoding
from baft.engine.engine import Engine
from baft.evaluation.editing import Edited, edit_streams
from baft.evaluation.metrics import Asked, Key, Measured, Row, against, describe, measure
from baft.evaluation.moments import collect, read_moments, texts_of, write_moment
from baft.evaluation.protocols import Stream, protocol_of
from baft.methods.base import Context, create
from baft.models.architectures import architecture_of
from baft.models.loading import device_name, load_model
from baft.models.prepare import read_card
from baft.results.provenance import Conditions
from baft.results.provenance import collect as provenance_of
from baft.results.schema import EDITS, PROBES
from baft.results.store import read_table, write_rows

BASE = pa.schema([*PROBES, pa.field("argmax", pa.list_(pa.int32()))])
"""Rows of the unedited model: with its own choice at the forced positions of the first answer."""


def load_engine(config: ModelConfig, folder: Path) -> Engine:
    """An engine around a prepared model, as the config says it is run."""
    quiet()
    model, tokenizer = load_model(config, folder)
    return Engine.of(
        model,
        tokenizer,
        prompt_format=config.prompt_format,
        token_budget=config.token_budget,
        architecture=architecture_of(model, config.modules.model_dump(exclude_none=True)),
    )


def quiet() -> None:
    """Silences the model library's own notices, which would bury the progress lines."""
    notices.set_verbosity_error()  # type: ignore[no-untyped-call]
    notices.disable_progress_bar()  # type: ignore[no-untyped-call]


def measure_base(model: ModelConfig, folder: Path, benchmark: Path, evaluation: EvaluationConfig, out: Path) -> None:
    """Asks the unedited model every probe of a benchmark and writes its answers."""
    engine, data = load_engine(model, folder), read_benchmark(benchmark)
    asked = [Asked(0, record, probe) for record in data.records for probe in record.probes]
    rows = []
    progress = Progress(f"measure_base {data.name}", len(data.records), "records")
    for part in _by_record(asked, 16):
        for one, now in zip(part, measure(engine, {}, part, _decoding(evaluation)), strict=True):
            row = describe(one) | now.columns | {"stream_id": "", "step": -1, "edits": 0, "moment": "before"}
            rows.append(row | {"argmax": list(now.argmax)})
        progress.advance(len({one.record.id for one in part}))
    about = {"model": model.model_dump(exclude={"resources"}), "evaluation": evaluation.model_dump()}
    conditions = _conditions(engine, model, folder, data, {}, {}, len(data.records))
    write_rows(rows, BASE, out, _provenance(engine, conditions, about))


def collect_moments(model: ModelConfig, folder: Path, layer: str, moments: MomentsConfig, out: Path) -> None:
    """Collects the second moment of the keys of one block's MLP output layer."""
    engine = load_engine(model, folder)
    moment, tokens = collect(engine, texts_of(moments), layer, moments.tokens)
    write_moment(moment, tokens, out)


def edit_shard(
    cell: Cell,
    folder: Path,
    benchmark: Path,
    base: Path,
    moments: Sequence[Path],
    shard: int,
    shards: int,
    probes: Path,
    edits: Path,
) -> None:
    """Edits and questions one shard of a cell's records and writes its probe and edit rows."""
    data = read_benchmark(benchmark)
    before = _read_base(base)
    engine = load_engine(cell.model, folder)
    method = create(cell.method.method, cell.method.settings)
    context = Context(cell.seed, read_moments(engine, moments))
    records = shard_of(data.records, shard, shards)
    streams = protocol_of(cell.protocol).streams(records)
    progress = Progress(f"edit_shard {cell.model_label} {cell.method.label} {cell.benchmark}", len(records), "edits")
    probe_rows: list[Row] = []
    edit_rows: list[Row] = []
    for edited in edit_streams(engine, method, streams, context):
        probe_rows += _probe_rows(engine, edited, before, _decoding(cell.evaluation))
        edit_rows += edited.rows()
        progress.advance(sum(len(batch) for stream in edited.streams for batch in stream.batches))
    settings = {"name": cell.method.method, **cell.method.settings}
    protocol = {"label": cell.protocol}
    conditions = _conditions(engine, cell.model, folder, data, settings, protocol, len(records))
    about = _provenance(engine, conditions, cell.model_dump(mode="json"), halvings=engine.budget.halvings)
    write_rows(probe_rows, PROBES, probes, about)
    write_rows(edit_rows, EDITS, edits, about)


class Progress:
    """Lines on standard error: what, how many of how many, how fast, how long still."""

    def __init__(self, what: str, total: int, unit: str):
        self.what, self.total, self.unit = what, total, unit
        self.done, self.start = 0, time.monotonic()

    def advance(self, count: int) -> None:
        """``count`` more are done."""
        self.done += count
        rate = self.done / max(time.monotonic() - self.start, 1e-9)
        left = (self.total - self.done) / rate
        line = f"{self.what}: {self.done}/{self.total} {self.unit}, {rate:.2f} {self.unit}/s, {left:.0f} s left"
        print(line, file=sys.stderr, flush=True)


def _probe_rows(engine: Engine, edited: Edited, before: Mapping[Key, Measured], decoding: Decoding) -> Iterator[Row]:
    good = [s for s, report in enumerate(edited.outcome.reports) if report.error is None]
    asked = [Asked(s, *pair) for s in good for pair in _probes(edited.streams[s])]
    deltas = edited.outcome.state.deltas
    # Without deltas the model is the unedited one, whose replies are there already.
    replies = measure(engine, deltas, asked, decoding) if deltas else [before[one.key] for one in asked]
    after = iter(zip(asked, replies, strict=True))
    for s, (stream, report) in enumerate(zip(edited.streams, edited.outcome.reports, strict=True)):
        size = sum(len(batch) for batch in stream.batches)
        steps = {record.id: step for step, batch in enumerate(stream.batches) for record in batch}
        for record, probe in _probes(stream):
            one = Asked(s, record, probe)
            if report.error is None:
                one, reply = next(after)
                columns = against(reply, before[one.key])
            else:
                columns = {"error": report.error}
            yield (
                describe(one)
                | columns
                | {
                    "stream_id": stream.id,
                    "step": steps[record.id],
                    "edits": size,
                    "moment": "final",
                }
            )


def _probes(stream: Stream) -> Iterable[tuple[Record, Any]]:
    return ((record, probe) for batch in stream.batches for record in batch for probe in record.probes)


def _read_base(path: Path) -> dict[Key, Measured]:
    found = {}
    for row in read_table([path]).to_pylist():
        key = (row["record_id"], row["kind"], row["group"], row["index"])
        columns = {name: row[name] for name in _MEASURED}
        if row["error"] is not None:
            columns = {"error": row["error"]}
        found[key] = Measured(columns, tuple(row["argmax"]))
    return found


_MEASURED = (
    "decoded",
    "token_accuracy",
    "token_accuracy_first",
    "exact_match",
    "starts_with",
    "logprob_after",
    "contrast_logprob_after",
)


def _by_record(asked: Sequence[Asked], records: int) -> Iterator[list[Asked]]:
    part: list[Asked] = []
    seen: set[str] = set()
    for one in asked:
        if one.record.id not in seen and len(seen) == records:
            yield part
            part, seen = [], set()
        part.append(one)
        seen.add(one.record.id)
    if part:
        yield part


def _decoding(evaluation: EvaluationConfig) -> Decoding:
    return Decoding(evaluation.max_new_tokens, tuple(evaluation.stop))


def _conditions(
    engine: Engine,
    model: ModelConfig,
    folder: Path,
    data: Benchmark,
    method: Mapping[str, Any],
    protocol: Mapping[str, Any],
    records: int,
) -> Conditions:
    return Conditions(
        model=read_card(folder)["fingerprint"],
        protocol=protocol,
        method=method,
        benchmark=data.name,
        revision=data.revision,
        sha256=data.sha256,
        split=data.split,
        prompt_format=model.prompt_format,
        dtype=model.dtype,
        records=records,
        rejected=len(data.rejected),
    )


def _provenance(engine: Engine, conditions: Conditions, config: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    device: torch.device = engine.model.device
    return provenance_of(conditions, device=device.type, device_name=device_name(device), config=config, **more)
