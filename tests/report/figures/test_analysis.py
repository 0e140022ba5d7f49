"""The four figures of the analysis, drawn from made-up edits of any shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from baft.config import StatisticsConfig
from baft.errors import UserError
from baft.report.figures.basis_weights import plot_basis_weights
from baft.report.figures.generality_locality_bound import plot_generality_locality_bound
from baft.report.figures.method_picture import plot_method_picture
from baft.report.figures.redundant_dimensions import plot_redundant_dimensions
from baft.report.rendering import HOLE
from tests.analysis.frames import position
from tests.report.figures.layout import faults
from tests.report.figures.layout import saved as saved
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
    rank: int = 5,
    records: int = 3,
    kinds: Sequence[str] = KINDS,
    methods: Sequence[str] = ("reft", "baft", "baft_keyed"),
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
                        if method == "baft_keyed":
                            weights = [float(kind not in ("irrelevant", "general"))] * rank
                        changes = {"distance": float(rng.uniform(0.1, 1)), "displacement": float(rng.uniform(0, 2))}
                        found += position(
                            kind, rng.normal(size=rank).tolist(), weights, record_id=f"r{record}", index=index,
                            method=method,
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
    for method in ("reft", "baft", "baft_keyed"):
        paths = DRAW["generality_locality_bound"]([write(tmp_path, method, rows(methods=[method]))], tmp_path / method)
        assert set(pd.read_csv(paths[2])["method"]) == {method}


def test_the_picture_is_of_the_record_asked_for(tmp_path: Path) -> None:
    files = [write(tmp_path, "b", rows())]
    paths = plot_method_picture(files, tmp_path / "p", "r2")
    frame = pd.read_csv(paths[2])
    assert set(frame["record_id"]) == {"r2"} and list(frame["kind"].unique()) == ["editing", "irrelevant"]
    assert frame.groupby("method").size().to_dict() == {"baft": 2 * 30 * 5, "baft_keyed": 2 * 30 * 5}
    first = pd.read_csv(plot_method_picture(files, tmp_path / "q")[2])
    assert set(first["record_id"]) == {"r0"}
    with pytest.raises(UserError, match=r"analysis.picture is 'r9'"):
        plot_method_picture(files, tmp_path / "r", "r9")


def test_weights_differences_and_areas_are_in_one_tidy_table(tmp_path: Path) -> None:
    frame = pd.read_csv(DRAW["basis_weights"]([write(tmp_path, "b", rows(records=5))], tmp_path / "w")[2])
    assert set(frame["method"]) == {"baft", "baft_keyed"}
    counts = frame.groupby("quantity").size().to_dict()
    assert counts == {"weight": 2 * 5 * len(KINDS), "difference": 2 * 3 * 2, "auc": 2 * 3 * 2}
    whole = frame[frame["quantity"].ne("auc")]
    assert (whole["low"] <= whole["mean"]).all() and (whole["mean"] <= whole["high"]).all()
    assert set(whole["records"]) == {5}
    keyed = frame[frame["method"].eq("baft_keyed")].groupby("quantity")["mean"]
    assert keyed.unique()["difference"].tolist() == keyed.unique()["auc"].tolist() == [1.0]


def test_weights_that_are_alike_have_a_difference_and_no_area(tmp_path: Path, saved: list[Figure]) -> None:
    found = [row | {"weight": 0.999 if row["kind"] == "editing" else 0.998} for row in rows(methods=["baft"])]
    frame = pd.read_csv(DRAW["basis_weights"]([write(tmp_path, "b", found)], tmp_path / "w")[2])
    shown = frame.set_index(["quantity", "kind", "apart"])
    assert shown.loc[("difference", "editing", "irrelevant"), "mean"] == pytest.approx(0.001)
    assert shown.loc["auc", "mean"].isna().all() and (shown.loc["auc", "records"] == 0).all()
    axis = saved[0].axes[2]
    assert axis.get_xlabel() == "AUC"
    assert [text.get_text() for text in axis.texts] == [HOLE] * 6
    assert not [line for line in axis.lines if line.get_marker() != "None"]


@pytest.mark.parametrize("name", DRAW)
@pytest.mark.parametrize("benchmarks", [["mini_zsre"], ["mini_zsre", "mini_wiki_counterfact", "c", "d", "e"]])
def test_nothing_hides_anything(name: str, benchmarks: list[str], saved: list[Figure], tmp_path: Path) -> None:
    DRAW[name]([write(tmp_path, benchmark, rows(12, 2)) for benchmark in benchmarks], tmp_path / name)
    (figure,) = saved
    assert faults(figure) == []


def test_the_share_below_the_line_says_of_what(tmp_path: Path, saved: list[Figure]) -> None:
    positions = [position("editing", [0.0])]
    for index, moved in enumerate((0.5, 0.5, 0.5, 4.0)):
        positions.append(position("irrelevant", [0.0], index=index, displacement=moved, gap=3.0, tilt=1.0))
    DRAW["generality_locality_bound"]([write(tmp_path, "b", [row for p in positions for row in p])], tmp_path / "f")
    assert [text.get_text() for text in saved[0].axes[0].texts] == ["inputs below the line:", "ReFT 75 %"]
