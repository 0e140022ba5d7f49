"""Time and memory of aggregating a cell of many probe rows, made up in a temporary folder.

    python bench/summarise_rows.py [--rows 10000000] [--shards 20]

The aggregation runs in a process of its own, so that its peak memory is not that of making the rows. The limits for ten
million rows are two minutes and 4 GB on two cores.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa

from baft.results.provenance import Conditions
from baft.results.schema import EDITS, PROBES
from baft.results.store import partition_path, write_tables

CELL = {"model": "m", "method": "reft", "protocol": "single", "benchmark": "b", "seed": 0}
# Kind, group and number of the probes of a record.
PROBES_OF_A_RECORD = (
    ("reliability", "", 1),
    ("generality", "", 2),
    ("portability", "Reasoning", 3),
    ("locality", "Relation_Specificity", 4),
)
EACH = sum(count for *_, count in PROBES_OF_A_RECORD)


def probes(records: range, rng: np.random.Generator) -> pa.Table:
    """Probe rows of the records, after single edits."""
    names = np.repeat([f"record-{number:08d}" for number in records], EACH)
    kinds, groups = (
        np.tile(np.repeat([probe[i] for probe in PROBES_OF_A_RECORD], [p[2] for p in PROBES_OF_A_RECORD]), len(records))
        for i in (0, 1)
    )
    rows = len(names)
    columns: dict[str, object] = {
        "record_id": names,
        "stream_id": names,
        "step": np.zeros(rows, np.int32),
        "edits": np.ones(rows, np.int32),
        "moment": np.full(rows, "final"),
        "kind": kinds,
        "group": groups,
        "index": np.tile(np.arange(EACH, dtype=np.int32), len(records)),
        "prompt": np.full(rows, "The capital of France is"),
        "answers": pa.array([["Rome"]]).take(pa.array(np.zeros(rows, np.int32))),
        "decoded": np.full(rows, "Rome"),
    }
    for name in ("token_accuracy", "token_accuracy_first", "logprob_before", "logprob_after", "agreement", "kl"):
        columns[name] = rng.random(rows)
    for name in ("exact_match", "starts_with", "same_string"):
        columns[name] = rng.random(rows) < 0.5
    return filled(columns, PROBES)


def edits(records: range) -> pa.Table:
    """Edit rows of the records."""
    names = [f"record-{number:08d}" for number in records]
    return filled({"record_id": names, "stream_id": names, "step": np.zeros(len(names), np.int32)}, EDITS)


def filled(columns: dict[str, object], schema: pa.Schema) -> pa.Table:
    """The columns in a schema's order and types, those that lack full of nulls."""
    rows = len(columns["record_id"])  # type: ignore[arg-type]
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def write_shard(folder: Path, shard: int, records: range) -> tuple[Path, Path]:
    """Both files of one shard."""
    conditions = Conditions("f", {}, {}, "b", "r", "0" * 64, "tune", "plain", "float32")
    paths = tuple(partition_path(folder / dataset, **CELL, shard=shard) for dataset in ("probes", "edits"))
    rng = np.random.default_rng(shard)

    def tables() -> Iterator[pa.Table]:
        for start in range(records.start, records.stop, 10_000):
            yield probes(range(start, min(start + 10_000, records.stop)), rng)

    write_tables(tables(), PROBES, paths[0], {"conditions": asdict(conditions)})
    write_tables([edits(records)], EDITS, paths[1], {"conditions": asdict(conditions)})
    return paths[0], paths[1]


def main() -> None:
    """Prints rows, seconds and memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--shards", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bounds = np.linspace(0, given.rows // EACH, given.shards + 1).astype(int)
        for shard in range(given.shards):
            write_shard(folder, shard, range(bounds[shard], bounds[shard + 1]))
        rows = int(bounds[-1]) * EACH
        where = [str(partition_path(folder / d, **CELL, shard=0).parents[1]) for d in ("probes", "edits")]
        command = [sys.executable, "-m", "baft", "summarise-cell", "--probes", where[0], "--edits", where[1]]
        command += ["--shards", str(given.shards), "--out", str(partition_path(folder / "records", **CELL))]
        start = time.perf_counter()
        _, status, usage = os.wait4(os.spawnv(os.P_NOWAIT, sys.executable, command), 0)
        if status:
            sys.exit("The aggregation failed.")
        wall, cpu = time.perf_counter() - start, usage.ru_utime + usage.ru_stime
        print(
            f"{rows} rows in {given.shards} shards: {wall:.1f} s ({cpu:.1f} s of CPU), {usage.ru_maxrss / 1e6:.2f} GB"
        )


if __name__ == "__main__":
    main()
