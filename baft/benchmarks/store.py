"""A benchmark as one parquet file: one row a record, the benchmark's own facts in the schema's metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from baft.benchmarks.records import Benchmark, Probe, Record, Rejected, Remark
from baft.errors import UserError
from baft.files import replacing

METADATA_KEY = b"baft_benchmark"
# Raised whenever a reader of the older form would misread the file.
VERSION = 1

_TEXTS = pa.list_(pa.field("item", pa.string(), nullable=False))
_PROBE = pa.struct(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("index", pa.int32(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("answers", _TEXTS, nullable=False),
        pa.field("contrast", _TEXTS, nullable=False),
    ]
)
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("target", pa.string(), nullable=False),
        pa.field("truth", _TEXTS, nullable=False),
        pa.field("irrelevant", _TEXTS, nullable=False),
        pa.field("probes", pa.list_(pa.field("item", _PROBE, nullable=False)), nullable=False),
    ]
)


def write_benchmark(benchmark: Benchmark, path: Path) -> None:
    """Write ``benchmark`` to the parquet file ``path``; a reader sees the old file or the new one, never half of it.

    Raises UserError if the disk is full.
    """
    facts = {
        "version": VERSION,
        "name": benchmark.name,
        "format": benchmark.format,
        "revision": benchmark.revision,
        "split": benchmark.split,
        "sha256": benchmark.sha256,
        "rejected": [asdict(rejected) for rejected in benchmark.rejected],
        "remarks": [asdict(remark) for remark in benchmark.remarks],
        "notes": list(benchmark.notes),
    }
    schema = SCHEMA.with_metadata({METADATA_KEY: json.dumps(facts, ensure_ascii=False).encode("utf-8")})
    table = pa.Table.from_pylist([asdict(record) for record in benchmark.records], schema=schema)
    with replacing(path) as file:
        pq.write_table(table, file, compression="zstd")


def refuse_other(path: Path) -> None:
    """Raises UserError if ``path`` is there and is not what :func:`write_benchmark` writes, which would replace it."""
    if not path.exists():
        return
    try:
        metadata: Mapping[bytes, bytes] = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        metadata = {}
    if METADATA_KEY not in metadata:
        raise UserError(
            f"{path} exists already and is not a prepared benchmark; give another name, or remove it first."
        )


def read_benchmark(path: Path) -> Benchmark:
    """Read the file that :func:`write_benchmark` wrote.

    Raises:
        UserError: the file is missing, is no parquet file, or is not one of these.
    """
    try:
        table = pq.read_table(path, partitioning=None)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; write it with `baft benchmarks prepare`.") from error
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: cannot be read as parquet: {' '.join(str(error).split())}") from error
    metadata: Mapping[bytes, bytes] = table.schema.metadata or {}
    if METADATA_KEY not in metadata:
        raise UserError(f"{path}: is not a benchmark of this project; make one with `baft benchmarks prepare`.")
    facts = json.loads(metadata[METADATA_KEY])
    if facts["version"] != VERSION:
        raise UserError(f"{path}: has version {facts['version']} of the format, not {VERSION}; prepare it again.")
    return Benchmark(
        name=facts["name"],
        format=facts["format"],
        revision=facts["revision"],
        split=facts["split"],
        sha256=facts["sha256"],
        records=tuple(_record(row) for row in table.to_pylist()),
        rejected=tuple(Rejected(**rejected) for rejected in facts["rejected"]),
        remarks=tuple(Remark(**remark) for remark in facts["remarks"]),
        notes=tuple(facts.get("notes", ())),
    )


def _record(row: dict[str, Any]) -> Record:
    return Record(
        id=row["id"],
        subject=row["subject"],
        prompt=row["prompt"],
        target=row["target"],
        truth=tuple(row["truth"]),
        irrelevant=tuple(row["irrelevant"]),
        probes=tuple(
            Probe(
                kind=probe["kind"],
                group=probe["group"],
                index=probe["index"],
                prompt=probe["prompt"],
                answers=tuple(probe["answers"]),
                contrast=tuple(probe["contrast"]),
            )
            for probe in row["probes"]
        ),
    )
