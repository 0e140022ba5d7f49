"""Rows cut into passes of similar length, against one padded batch: the same edits, and the same questions asked.

    python bench/passes.py [--records 12] [--steps 10] [--rounds 3] [--dtype float32|bfloat16] [--file X.parquet]

The records are of two embedded benchmarks, one with long texts and one with short ones, or of a file that `baft benchmarks
prepare` made. One padded batch is what the engine makes if a pass is said to cost more than any padding. Before anything is
timed, the losses of both are compared: they must be those of the same edits. Only times of one run are compared, round by
round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from embedded import embedded_engine

from baft.benchmarks.embedded import build
from baft.benchmarks.store import read_benchmark
from baft.config import EvaluationConfig, ModelConfig, method_settings
from baft.engine import cutting
from baft.evaluation.editing import request_of
from baft.evaluation.metrics import Asked, measure_unedited
from baft.evaluation.needed import covariances_for
from baft.methods.base import Context
from baft.methods.registry import create

METHODS = ("reft", "ft_l", "lora", "rome")
CUT, PADDED = cutting.PASS_TOKENS["cpu"], 10**9


def main() -> None:
    """Prints the seconds of both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=12)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--file", type=Path, help="a prepared benchmark")
    parser.add_argument("--model", type=Path, help="the embedded model, prepared; it is prepared unless given")
    given = parser.parse_args()
    engine = embedded_engine(ModelConfig(dtype=given.dtype), given.model)
    half = given.records // 2
    mixed = [*build("mini_wikibio").records[:half], *build("mini_zsre").records[: given.records - half]]
    records = read_benchmark(given.file).records[: given.records] if given.file else mixed
    batches = [[request_of(record)] for record in records]
    asked = [Asked(0, record, probe) for record in records for probe in record.probes]
    work: dict[str, Callable[[], list[float]]] = {}
    for name in METHODS:
        method = create(name, method_settings(name, "smollm2-135m", {"steps": given.steps, "tolerance": 0}))
        context = Context(0, covariances_for(engine, method.settings.needs(), None))

        def fit(method=method, context=context) -> list[float]:  # type: ignore[no-untyped-def]
            return [report.loss for report in method.fit(engine, batches, None, context).trainings]

        work[name] = fit
    work[f"asking {len(asked)} probes"] = lambda: [
        one.columns["logprob_after"] or 0.0 for one in measure_unedited(engine, asked, EvaluationConfig())
    ]
    where = given.file.name if given.file else "mini_wikibio and mini_zsre"
    print(f"{where}: {len(records)} records, {given.steps} steps, {given.dtype}, {torch.get_num_threads()} threads")
    print(f"median of {given.rounds} rounds, ratio round by round")
    for name, run in work.items():
        seconds: dict[int, list[float]] = {CUT: [], PADDED: []}
        values = {}
        for overhead in (PADDED, CUT):
            cutting.PASS_TOKENS["cpu"] = overhead
            values[overhead] = torch.tensor(run())
        apart = float((values[CUT] - values[PADDED]).abs().max())
        for _ in range(given.rounds):
            for overhead, found in seconds.items():
                cutting.PASS_TOKENS["cpu"] = overhead
                start = time.perf_counter()
                run()
                found.append(time.perf_counter() - start)
        ratio = statistics.median(p / c for p, c in zip(seconds[PADDED], seconds[CUT], strict=True))
        padded, cut = (statistics.median(seconds[overhead]) for overhead in (PADDED, CUT))
        print(
            f"{name:20} padded {padded:7.2f} s, cut {cut:7.2f} s, ratio {ratio:.2f}; values {apart:.1e} apart",
            flush=True,
        )


if __name__ == "__main__":
    main()
