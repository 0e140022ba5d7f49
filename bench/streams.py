"""Continual editing: several streams side by side in one batch, against the same streams one after another.

    python bench/streams.py [--streams 8] [--length 10] [--steps 40] [--rounds 3] [--method baft] [--model FOLDER]

Each stream makes `length` edits, each going on from the last; every edit takes all its `steps`. Editing alone is timed,
not the scoring. Before anything is timed, the two are compared over two steps of two streams: they must give the same
edits. Only times of one run are compared, round by round.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path

from embedded import embedded_engine
from rounds import print_rates

from baft.benchmarks.embedded import build
from baft.config import ModelConfig, method_settings
from baft.engine.engine import Engine
from baft.engine.state import EditState
from baft.evaluation.editing import request_of
from baft.evaluation.needed import covariances_for
from baft.methods.base import Context, Method, Request
from baft.methods.registry import create

BENCHMARKS = ("mini_wiki_counterfact", "mini_zsre")

Streams = Sequence[Sequence[Request]]


def together(engine: Engine, method: Method, streams: Streams, context: Context) -> EditState:
    """All streams step by step, each step one batch of edits."""
    state: EditState | None = None
    for step in range(len(streams[0])):
        state = method.fit(engine, [[stream[step]] for stream in streams], state, context).state
    assert state is not None
    return state


def one_by_one(engine: Engine, method: Method, streams: Streams, context: Context) -> EditState:
    """Each stream from its first edit to its last before the next stream begins."""
    return EditState.join([together(engine, method, [stream], context) for stream in streams])


def distance(a: EditState, b: EditState) -> float:
    """Largest relative distance between the tensors of the deltas of two states."""
    pairs = (
        (tensor, b.deltas[site].tensors()[name])
        for site, delta in a.deltas.items()
        for name, tensor in delta.tensors().items()
    )
    return max(float((one - other).norm() / one.norm().clamp(min=1e-9)) for one, other in pairs)


def main() -> None:
    """Prints the rates and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--length", type=int, default=10)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--method", default="baft")
    parser.add_argument("--model", type=Path, help="the embedded model, prepared; it is prepared unless given")
    given = parser.parse_args()
    engine = embedded_engine(ModelConfig(), given.model)
    settings = method_settings(given.method, "smollm2-135m", {"steps": given.steps, "tolerance": 0})
    method = create(given.method, settings)
    edits = given.streams * given.length
    context = Context(0, covariances_for(engine, method.settings.needs(), None))
    requests = [request_of(record) for name in BENCHMARKS for record in build(name).records][:edits]
    if len(requests) < edits:
        parser.error(f"there are {len(requests)} records, and {edits} are needed")
    streams = [requests[start : start + given.length] for start in range(0, edits, given.length)]
    few = [stream[:2] for stream in streams[:2]]
    apart = distance(together(engine, method, few, context), one_by_one(engine, method, few, context))
    print(f"largest relative distance between the two: {apart:.1e}")
    print(f"{given.method}: {given.streams} streams of {given.length} edits, {given.steps} steps each")
    ways = {"one after another": one_by_one, "side by side": together}
    runs = {way: functools.partial(run, engine, method, streams, context) for way, run in ways.items()}
    print_rates(runs, edits, "edits", given.rounds)


if __name__ == "__main__":
    main()
