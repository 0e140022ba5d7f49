"""Scoring along a stream: the edited models of several steps asked together, against each asked right after its step.

    python bench/scoring.py [--length 24] [--together 8] [--rounds 3] [--method baft] [--model FOLDER]

One stream of `length` edits is made, with a few steps of training, which is not timed. Then all probes of each step's record
are asked of the model after that step, `together` models at a time or one at a time. Before anything is timed, the two are
compared. Only times of one run are compared, round by round.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from embedded import embedded_engine
from rounds import print_rates

from baft.benchmarks.embedded import build
from baft.benchmarks.records import Record
from baft.config import EvaluationConfig, ModelConfig, method_settings
from baft.engine.engine import Engine
from baft.engine.state import EditState
from baft.evaluation.editing import request_of
from baft.evaluation.metrics import Asked, Columns, Key, Measured, measure, measure_unedited
from baft.evaluation.needed import covariances_for
from baft.methods.base import Context
from baft.methods.registry import create

EVALUATION = EvaluationConfig()


def states_of(engine: Engine, name: str, records: Sequence[Record]) -> list[EditState]:
    """The states along one stream of edits."""
    method = create(name, method_settings(name, "smollm2-135m", {"steps": 5}))
    context = Context(0, covariances_for(engine, method.settings.needs(), None))
    states: list[EditState] = []
    for record in records:
        before = states[-1] if states else None
        states.append(method.fit(engine, [[request_of(record)]], before, context).state)
    return [replace(state, memory={}) for state in states]


def scored(
    engine: Engine, states: Sequence[EditState], records: Sequence[Record], before: dict[Key, Measured], together: int
) -> list[Columns]:
    """The rows of each record's probes after its own step."""
    rows: list[Columns] = []
    for start in range(0, len(states), together):
        state = EditState.join(states[start : start + together])
        own = enumerate(records[start : start + together])
        rows += measure(engine, state, [Asked(s, r, probe) for s, r in own for probe in r.probes], EVALUATION, before)
    return rows


def main() -> None:
    """Prints the rates and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=24)
    parser.add_argument("--together", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--method", default="baft")
    parser.add_argument("--model", type=Path, help="the embedded model, prepared; it is prepared unless given")
    given = parser.parse_args()
    engine = embedded_engine(ModelConfig(), given.model)
    records = build("mini_zsre").records[: given.length]
    asked = [Asked(0, record, probe) for record in records for probe in record.probes]
    before = {a.key: m for a, m in zip(asked, measure_unedited(engine, asked, EVALUATION), strict=True)}
    states = states_of(engine, given.method, records)
    ways = {"each after its step": 1, f"{given.together} together": given.together}
    alone, together = (
        torch.tensor([row["logprob_after"] for row in scored(engine, states, records, before, n)])
        for n in ways.values()
    )
    print(f"largest distance between log-probabilities: {float((alone - together).abs().max()):.1e}")
    print(f"{given.method}: a stream of {len(records)} edits, {len(asked)} probes")
    runs = {way: functools.partial(scored, engine, states, records, before, n) for way, n in ways.items()}
    print_rates(runs, len(records), "records", given.rounds)


if __name__ == "__main__":
    main()
