"""The four figures of the analysis, drawn from made-up edits of any shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from baft.config import StatisticsConfig
from baft.errors import UserError
from baft.report.figures.basis_weights import plot_basis_weights
from baft.report.figures.generality_locality_bound import plot_generality_locality_bound
from baft.report.figures.method_picture import plot_method_picture
from baft.report.figures.redundant_dimensions import plot_redundant_dimensions
from tests.analysis.frames import position
from tests.report.test_bases import write

KINDS = ("editing", "rephrasing", "portability", "irrelevant", "general")
STATISTICS = StatisticsConfig()
Draw = Callable[[Sequence[Path], Path], list[Path]]
DRAW: dict[str, Draw] = {
    "redundant_dimensions": plot_redundant_dimensions,
    "basis_weights": lambda files, out: plot_basis_weights(files, out, STATISTICS),
    "method_picture": plot_method_picture,
    "generality_locality_bound": plot_generality_locality_bound,
}


def rows(
    rank: int = 5, records: int = 3, kinds: Sequence[str] = KINDS, methods: Sequence[str] = ("reft", "baft")
) -> list[dict]:
    rng = np.random.default_rng(rank)
    found = []
    for method in methods:
        for record in range(records):
            for kind in kinds:
                for index in range(1 if kind == "editing" else 2):
                    shown = kind in ("editing", "irrelevant") and index == 0
                    for place in range(30 if shown else 1):
                        weights = None if method == "reft" else rng.uniform(size=rank).tolist()
                        changes = {"distance": float(rng.uniform(0.1, 1)), "displacement": float(rng.uniform(0, 2))}
                        found += position(
                            kind, rng.normal(size=rank).tolist(), weights, record_id=f"r{record}", index=index,
                            position=place, edited=not shown or place == 29, token="\n" if place == 28 else " x", **changes,
                        )  # fmt: skip
    return found


@pytest.mark.parametrize("name", DRAW)
def test_three_files_that_depend_on_the_data_alone(name: str, tmp_path: Path) -> None:
    files = [write(tmp_path, benchmark, rows()) for benchmark in ("mini_zsre", "b")]
    paths = DRAW[name](files, tmp_path / "one" / name)
    assert [path.name for path in paths] == [f"{name}.{suffix}" for suffix in ("pdf", "png", "csv")]
    again = DRAW[name](files, tmp_path / "two" / name)
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]


@pytest.mark.parametrize("name", DRAW)
def test_any_shape_of_study_can_be_drawn(name: str, tmp_path: Path) -> None:
    files = [write(tmp_path, letter, rows(1, 1), model) for model in "mn" for letter in "abcdefg"]
    assert all(path.stat().st_size for path in DRAW[name](files, tmp_path / "many"))
    few = write(tmp_path, "few", rows(4, 2, ("editing", "general")))
    assert all(path.stat().st_size for path in DRAW[name]([few], tmp_path / "few"))


def test_one_method_is_enough_for_the_bound(tmp_path: Path) -> None:
    for method in ("reft", "baft"):
        paths = DRAW["generality_locality_bound"]([write(tmp_path, method, rows(methods=[method]))], tmp_path / method)
        assert set(pd.read_csv(paths[2])["method"]) == {method}


def test_the_picture_is_of_the_record_asked_for(tmp_path: Path) -> None:
    files = [write(tmp_path, "b", rows())]
    paths = plot_method_picture(files, tmp_path / "p", "r2")
    frame = pd.read_csv(paths[2])
    assert set(frame["record_id"]) == {"r2"} and list(frame["kind"].unique()) == ["editing", "irrelevant"]
    assert len(frame) == 2 * 30 * 5
    first = pd.read_csv(plot_method_picture(files, tmp_path / "q")[2])
    assert set(first["record_id"]) == {"r0"}
    with pytest.raises(UserError, match=r"analysis.picture is 'r9'"):
        plot_method_picture(files, tmp_path / "r", "r9")


def test_weights_and_areas_are_in_one_tidy_table(tmp_path: Path) -> None:
    frame = pd.read_csv(DRAW["basis_weights"]([write(tmp_path, "b", rows(records=5))], tmp_path / "w")[2])
    weights, areas = (frame[frame["quantity"].eq(name)] for name in ("weight", "auc"))
    assert len(weights) == 5 * len(KINDS) and len(areas) == 3 * 2
    assert (frame["low"] <= frame["mean"]).all() and (frame["mean"] <= frame["high"]).all()
    assert set(frame["records"]) == {5}
