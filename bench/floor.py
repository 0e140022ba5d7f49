"""How near editing and asking come to what the processor can do, for each method.

    python bench/floor.py [--records 20] [--benchmark mini_zsre] [--methods reft lora …] [--model FOLDER]

The floor is the time that the matrix products of a job would take if each ran as fast as a large one. It is worked out from
the operations that PyTorch reports, once of a whole `fit` and once of asking all probes, and from a large product of the
model's own shape, measured anew before each method. Beside training's share stands the one that its products reach by
themselves, in the sizes that they have: small products are slower, and nothing besides them is to blame for that part.
Padding counts as work, so a share says how well what is computed is computed. Times are CPU seconds of one thread, so that
other work on the machine matters little.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from embedded import embedded_engine
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from baft.benchmarks.embedded import build
from baft.benchmarks.records import Record
from baft.config import CovariancesConfig, EvaluationConfig, ModelConfig, method_settings, shipped_methods
from baft.engine.engine import Engine
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.evaluation.covariances import collect, texts_of
from baft.evaluation.editing import request_of, withheld_of
from baft.evaluation.metrics import Asked, Measured, measure, measure_unedited
from baft.methods.base import Context
from baft.methods.registry import create

EVALUATION = EvaluationConfig(max_new_tokens=8, stop=("\n",))
T = TypeVar("T")

TOKENS = 4096
"""Of text for the covariances of keys, which take no part in what is measured."""

WARM = 60_000_000
"""Bytes of weights that no cache holds."""


def rate(engine: Engine) -> float:
    """Operations a second of a product of 512 tokens with the weights of an MLP's last layer; the best of twenty."""
    width, height = engine.model.widths(Site(0, engine.model.architecture.mlp_down))
    x = torch.randn(512, width, dtype=engine.model.dtype)
    weight = torch.randn(height, width, dtype=engine.model.dtype)
    count = max(1, int(4e9 / (2 * 512 * width * height)))

    def once() -> None:
        for _ in range(count):
            torch.nn.functional.linear(x, weight)

    once()
    return 2 * 512 * width * height * count / min(seconds(once) for _ in range(20))


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of ``work``."""
    start = time.process_time()
    work()
    return time.process_time() - start


class Sizes(TorchDispatchMode):
    """Counts the products of two matrices, or of two stacks of them, by how their factors lie in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[tuple[Any, ...]] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten.mm.default, torch.ops.aten.bmm.default):
            self.counts[func, *((tuple(t.shape), t.stride()) for t in args)] += 1
        return func(*args, **(kwargs or {}))


def counted(work: Callable[[], T]) -> tuple[T, int, Sizes]:
    """What ``work`` gives, the additions and multiplications of its products, and their sizes."""
    with FlopCounterMode(display=False) as counter, Sizes() as seen:
        found = work()
    return found, counter.get_total_flops(), seen


def alone(seen: Sizes, peak: float) -> str:
    """The share of ``peak`` that these products reach by themselves, each size with weights not in the cache."""
    took = count = 0.0
    for (product, left, right), times in seen.counts.items():
        x, size = laid(*left), 4 * torch.Size(right[0]).numel()
        others = [laid(*right) for _ in range(max(1, min(8, WARM // size)))]
        product(x, others[0])
        tries = max(2, min(times, 6))
        took += times / tries * seconds(lambda: [product(x, others[n % len(others)]) for n in range(tries)])  # noqa: B023
        count += times * 2 * x.numel() * right[0][-1]
    return f"{count / peak / took:6.0%}"


def laid(shape: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Random numbers that lie in memory in a given way."""
    return torch.randn(1 + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))).as_strided(shape, stride)


def shown(count: int, took: float, edits: int, peak: float) -> str:
    """Operations (10⁹) and CPU seconds an edit, and the share of ``peak`` operations a second."""
    share = f"{count / peak / took:6.0%}" if count else f"{'-':>6}"
    return f"{count / edits / 1e9:10.2f} {took / edits:8.3f} {share}"


def compare(
    engine: Engine,
    name: str,
    records: Sequence[Record],
    asked: Sequence[Asked],
    before: Sequence[Measured],
) -> str:
    """One line: the limit now; operations, seconds and share of it of training and of asking, the former two an edit."""
    settings = method_settings(name, "smollm2-135m")
    config = CovariancesConfig(tokens=TOKENS)
    down = engine.model.architecture.mlp_down
    needed = {layer: collect(engine, texts_of(config), str(layer), TOKENS)[0] for layer in settings.needs().covariances}
    keys = {Site(engine.model.layer(layer), down): covariance for layer, covariance in needed.items()}
    context = Context(0, keys, withheld_of(records))
    batches = [[request_of(record)] for record in records]

    def fit() -> EditState:
        # Made anew, for a method keeps what it can use again.
        return create(name, settings).fit(engine, batches, None, context).state

    known = dict(zip((one.key for one in asked), before, strict=True))
    edits = len(records)
    state, trained, sizes = counted(fit)
    # At the same time as what is measured, for other work on the machine slows both.
    peak = rate(engine)
    training = f"{shown(trained, seconds(fit), edits, peak)} {alone(sizes, peak)}"

    def ask() -> object:
        return measure(engine, state, asked, EVALUATION, known)

    _, answered, _ = counted(ask)
    return f"{name:>12} {peak / 1e9:8.0f} | {training} | {shown(answered, seconds(ask), edits, peak)}"


def main() -> None:
    """Prints a line for each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=20)
    parser.add_argument("--benchmark", default="mini_zsre")
    methods = [name for name in shipped_methods() if name not in ("none", "zero", "foreign")]
    parser.add_argument("--methods", nargs="+", default=methods)
    parser.add_argument("--model", type=Path, help="folder of the prepared model, which is prepared unless given")
    given = parser.parse_args()

    torch.set_num_threads(1)
    engine = embedded_engine(ModelConfig(token_budget=16384), given.model)
    records = build(given.benchmark).records[: given.records]
    asked = [Asked(place, record, probe) for place, record in enumerate(records) for probe in record.probes]
    before = measure_unedited(engine, asked, EVALUATION)
    print(f"{len(records)} records of {given.benchmark}, {len(asked)} probes")
    print(
        f"{'':>12} GFLOP/s | training: GFLOP, s an edit, share, share of products alone | asking: GFLOP, s an edit, share"
    )
    for name in given.methods:
        print(compare(engine, name, records, asked, before), flush=True)


if __name__ == "__main__":
    main()
