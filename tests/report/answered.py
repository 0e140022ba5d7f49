"""A study's answers as result files, small and with text that nobody should have to trust."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from baft.benchmarks.records import Benchmark, Probe, Record
from baft.benchmarks.store import write_benchmark
from baft.config import PageSpec, Plan, parse_study
from baft.results import store
from baft.results.schema import PROBES
from tests.results.synthetic import edit, origin, probe, write_shard

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202etxt"

# By method, the decoded answers to the first record's probe of success and of locality, each with its forced share.
SAID: dict[str, tuple[tuple[str, float], tuple[str, float]]] = {
    "baft": (("Rome, of course", 1.0), ("wine", 1.0)),
    "lora": (("Paris", 1.0), ("cheese", 0.0)),
    "rome": (("Rome", 0.5), ("wine", 1.0)),
}


def record(number: int) -> Record:
    about = f"the capital {number} is"
    kinds = (("reliability", f"Say that {about}", ("Rome", "Roma")), ("locality", f"France {number} makes", ("wine",)))
    probes = tuple(Probe(kind, "", 0, prompt, answers) for kind, prompt, answers in kinds)  # type: ignore[arg-type]
    return Record(f"r{number}", "France", f"Say that {about}", "Rome", probes)


def rows(record: Record, said: Sequence[tuple[str, float]], **more: Any) -> list[dict[str, Any]]:
    """Rows of a record's probes with what was said to each; the unedited model says Paris and wine."""
    found = []
    for asked, (text, forced) in zip(record.probes, said, strict=True):
        own = {"prompt": asked.prompt, "answers": list(asked.answers), "decoded": text}
        if asked.kind == "locality":
            own |= {"agreement": forced, "same_string": text == "wine"}
        else:
            own |= {"token_accuracy": forced, "starts_with": text.startswith(asked.answers)}
        found.append(probe(record.id, asked.kind, **own) | more)
    return found


def write_answers(root: Path, said: Mapping[str, Any] = SAID, count: int = 5, shards: int = 2) -> None:
    """The answers of ``count`` records in ``shards``; all methods say the same to each, and hostile text to the last."""
    records = [record(number) for number in range(count)]
    benchmark = Benchmark("facts", "plain", "1", "tune", "", tuple(records))
    write_benchmark(benchmark, root / "benchmarks/facts.parquet")
    base = store.partition_path(root / "base", model="m", benchmark="facts")
    before = [row for one in records for row in rows(one, (("Paris", 0.0), ("wine", 1.0)), moment="before", edits=0)]
    store.write_rows(before, PROBES, base, origin())
    for method, answers in said.items():
        for shard in range(shards):
            own = records[shard * count // shards : (shard + 1) * count // shards]
            made = [
                row for one in own for row in rows(one, [(HOSTILE, 0.0), answers[1]] if one is records[-1] else answers)
            ]
            # What was asked before the last edit is not what the tables show.
            early = [row | {"moment": "immediate", "decoded": "too early"} for row in made]
            cell = {
                "model": "m",
                "method": method,
                "protocol": "single",
                "benchmark": "facts",
                "seed": 0,
                "shard": shard,
            }
            write_shard(root, cell, [*made, *early], [edit(one.id) for one in own])


def page_spec(root: Path, methods: Sequence[str] = tuple(SAID), shards: int = 2) -> PageSpec:
    """What the pages are told of that study."""
    config = {
        "study": "answered",
        "results": str(root),
        "models": {"m": {}},
        "methods": list(methods),
        "zero_edit": False,
        "benchmarks": {"facts": {"source": "file", "path": "facts.csv", "shards": shards}},
        "protocols": {"single": {}},
        "analysis": {"records": 0},
    }
    return Plan(parse_study(config)).report.page
