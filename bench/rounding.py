"""Rounding: how far scores depend on how edits are batched, in float32 and in bfloat16.

    python bench/rounding.py [--records 3] [--methods zero baft lora rome] [--dtypes float32 bfloat16] [--model FOLDER]

The same edits are made and asked with 8 streams side by side and a token budget of 4096, with one stream at a time, and
with 8 streams and a budget of 256. In exact arithmetic all three give the same scores. Printed are, for each precision and
method, the locality of the first, and what the others differ from it by: the largest difference of a benchmark's mean
score in points (of edit success, generality, portability and locality, forced and decoded), and how many decoded strings.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from baft.benchmarks.embedded import build
from baft.benchmarks.records import Record
from baft.config import EvaluationConfig, ModelConfig, method_settings
from baft.engine.engine import Engine
from baft.evaluation.editing import edit_step
from baft.evaluation.jobs import load_engine
from baft.evaluation.metrics import Asked, Columns, Key, Measured, measure, measure_unedited
from baft.evaluation.needed import covariances_for
from baft.methods.base import Context
from baft.methods.registry import create
from baft.models.prepare import prepare_model

BENCHMARKS = ("mini_wiki_recent", "mini_wiki_counterfact", "mini_zsre")
EVALUATION = EvaluationConfig(max_new_tokens=8, fluency_tokens=0, drift_tokens=0)
SETTINGS = {"8 streams": (8, 4096), "1 stream": (1, 4096), "budget 256": (8, 256)}
COLUMNS = {
    "reliability": ("token_accuracy", "starts_with"),
    "generality": ("token_accuracy", "starts_with"),
    "portability": ("token_accuracy", "starts_with"),
    "locality": ("agreement", "same_string"),
}

Rows = Mapping[Key, Columns]


def rows_of(
    engine: Engine, name: str, records: Sequence[Record], before: Mapping[Key, Measured], streams: int, tokens: int
) -> Rows:
    """The probe rows of single edits of ``records``, so many side by side within so many tokens."""
    engine.budget.tokens = tokens
    method = create(name, method_settings(name, "smollm2-135m"))
    context = Context(0, covariances_for(engine, method.settings.needs(), None))
    found: dict[Key, Columns] = {}
    for start in range(0, len(records), streams):
        group = records[start : start + streams]
        state = edit_step(engine, method, [[record] for record in group], None, context)[0].state
        asked = [Asked(s, record, probe) for s, record in enumerate(group) for probe in record.probes]
        found |= {
            one.key: row for one, row in zip(asked, measure(engine, state, asked, EVALUATION, before), strict=True)
        }
    return found


def means(rows: Rows) -> dict[tuple[str, str], float]:
    """Mean of each column by kind, per cent."""
    values = defaultdict(list)
    for (_, kind, _, _), row in rows.items():
        for column in COLUMNS.get(kind, ()):
            if row.get(column) is not None:
                values[kind, column].append(float(row[column]))
    return {key: 100 * sum(own) / len(own) for key, own in values.items()}


def main() -> None:
    """Prints a line for each precision and method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=["zero", "baft", "lora", "rome"])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--model", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = chosen.model or Path(place) / "model"
        if not chosen.model:
            prepare_model(ModelConfig(), folder)
        for dtype in chosen.dtypes:
            engine = load_engine(ModelConfig(dtype=dtype), folder)
            for name in chosen.methods:
                _compare(engine, name, dtype, chosen.records)


def _compare(engine: Engine, name: str, dtype: str, count: int) -> None:
    largest: dict[str, float] = defaultdict(float)
    changed: dict[str, int] = defaultdict(int)
    strings, locality = 0, []
    for benchmark in BENCHMARKS:
        records = build(benchmark, "tune", count).records
        asked = [Asked(0, record, probe) for record in records for probe in record.probes]
        engine.budget.tokens = 4096
        before = {a.key: m for a, m in zip(asked, measure_unedited(engine, asked, EVALUATION), strict=True)}
        found = {label: rows_of(engine, name, records, before, *own) for label, own in SETTINGS.items()}
        first = found.pop("8 streams")
        own = means(first)
        locality.append(f"{own['locality', 'agreement']:.1f}/{own['locality', 'same_string']:.1f}")
        strings += len(first)
        for label, rows in found.items():
            other = means(rows)
            largest[label] = max(largest[label], *(abs(other[key] - own[key]) for key in own))
            changed[label] += sum(row.get("decoded") != rows[key].get("decoded") for key, row in first.items())
    differ = "; ".join(f"{label}: {largest[label]:.1f} points, {changed[label]} strings" for label in largest)
    print(f"{dtype} {name}: locality {', '.join(locality)}; {differ} of {strings}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
