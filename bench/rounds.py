"""Ways of doing one thing, timed in turn: only times of one run are compared, round by round."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def print_rates(ways: Mapping[str, Callable[[], object]], count: int, unit: str, rounds: int) -> None:
    """Runs each way once a round and prints its median rate, of ``count`` units a run, and its ratio to the first way's."""
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            rates[way].append(count / (time.perf_counter() - start))
    print(f"{torch.get_num_threads()} threads; median of {rounds} rounds, ratio round by round")
    base, width = next(iter(rates.values())), max(map(len, ways)) + 2
    for way, found in rates.items():
        ratio = statistics.median(f / b for f, b in zip(found, base, strict=True))
        print(f"{way:{width}}{statistics.median(found):9.2f} {unit}/s{ratio:8.2f}")
