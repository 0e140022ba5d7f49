"""A small study's result files, as realistic as invented numbers can be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from baft.config import StatisticsConfig
from baft.report.tables.main import tabulate
from baft.results import store
from baft.results.summaries import summarise_cell
from tests.results.synthetic import shard_rows, write_shard

# Edit success, locality, parameters trained, parameters changed.
METHODS = {
    "none": (0.05, 1.0, 0, 0),
    "baft": (0.97, 0.55, 20_000, 0),
    "reft": (0.98, 0.30, 14_000, 0),
    "ft_l": (0.90, 0.45, 884_736, 880_000),
    "lora": (0.99, 0.20, 460_800, 460_800),
    "rome": (0.95, 0.60, 576, 884_736),
}


# The same with points to either side of some methods' own.
SWEPT = METHODS | {
    "baft@locality-0": (0.99, 0.30, 20_000, 0),
    "baft@locality-3": (0.98, 0.45, 20_000, 0),
    "baft@locality-30": (0.85, 0.75, 20_000, 0),
    "ft_l@lr-0.0005": (0.40, 0.90, 884_736, 880_000),
    "ft_l@lr-0.002": (0.70, 0.70, 884_736, 880_000),
    "ft_l@lr-0.02": (0.95, 0.20, 884_736, 880_000),
    "rome@clamp-1.0": (0.50, 0.85, 576, 884_736),
    "rome@clamp-8.0": (0.99, 0.50, 576, 884_736),
    "lora@rank-2": (0.95, 0.25, 115_200, 460_800),
    "lora@rank-32": (0.99, 0.15, 1_843_200, 460_800),
}
OWN = {"baft": {"locality": 10.0}, "ft_l": {"lr": 0.005}, "rome": {"clamp": 4.0}, "lora": {"rank": 8}}


def settings_of(method: str) -> dict[str, object]:
    """What the provenance of a method's cells says of its settings."""
    line, _, swept = method.partition("@")
    setting, _, value = swept.partition("-")
    return {"name": line, **OWN.get(line, {}), **({setting: float(value)} if swept else {})}


@dataclass(frozen=True)
class Study:
    records: list[Path]
    edits: list[Path]


def make_study(
    root: Path,
    methods: dict[str, tuple[float, float, int, int]],
    benchmarks: list[str],
    count: int = 30,
    models: tuple[str, ...] = ("tiny",),
    **changes: object,
) -> Study:
    """Result files of every method on every benchmark, seeded by their place in the study."""
    study = Study([], [])
    for m, model in enumerate(models):
        for b, benchmark in enumerate(benchmarks):
            hard = np.random.default_rng(b).normal(size=count)
            for k, (method, (success, locality, trained, changed)) in enumerate(methods.items()):
                cell = {"model": model, "method": method, "protocol": "single", "benchmark": benchmark, "seed": 0}
                rng = np.random.default_rng([m, b, k])
                shift = 0.0 if method == "none" else rng.uniform(-0.12, 0.02)
                quality = (max(success + shift, 0.02), max(locality + 2 * shift, 0.02))
                cost = {"parameters_trained": trained, "parameters_changed": changed, "peak_memory": 2_000_000_000}
                cost |= {"numbers_stored": changed or trained, "numbers_carried": 0}
                rows = shard_rows(quality, count, rng, cost, hard)
                conditions = {"benchmark": benchmark, "method": settings_of(method), "model": model, **changes}
                probes, edits = write_shard(root, cell, *rows, **conditions)
                out = store.partition_path(root / "records", **cell)
                summarise_cell([probes], [edits], out)
                study.records.append(out)
                study.edits.append(edits)
    return study


@pytest.fixture(scope="session")
def statistics() -> StatisticsConfig:
    return StatisticsConfig(reference="reft")


@pytest.fixture(scope="session")
def swept_study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_study(tmp_path_factory.mktemp("swept"), SWEPT, ["mini_zsre", "mini_wiki_recent"])


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_study(tmp_path_factory.mktemp("study"), METHODS, ["mini_zsre", "mini_wiki_recent"])


@pytest.fixture(scope="session")
def folder(study: Study, statistics: StatisticsConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of the study without one cell."""
    folder = tmp_path_factory.mktemp("tables")
    records = [path for path in study.records if not {"method=lora", "benchmark=mini_zsre"} <= set(path.parts)]
    assert len(records) == len(study.records) - 1
    tabulate(records, study.edits, folder, statistics)
    return folder
