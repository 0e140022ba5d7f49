"""The table of a method and its variants."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from baft.config import StatisticsConfig
from baft.report.cells import read_cells
from baft.report.tables.ablations import ablation_frame, tabulate_ablations
from tests.report.test_sensitivity import cell

SCORES = [1.0, 0.5, 0.75, 1.0, 0.5, 0.75]
METHODS = ("baft", "baft@plain", "baft@late")


@pytest.fixture
def records(tmp_path: Path) -> list[Path]:
    settings = {"name": "baft", "gate": "sigmoid", "layer": 25}
    return [
        cell(tmp_path, "baft", settings, SCORES),
        cell(tmp_path, "baft@plain", settings | {"gate": "constant"}, [0.5] * 6),
        cell(tmp_path, "baft@late", settings | {"gate": "softmax", "layer": 28}, SCORES),
    ]


def test_a_variant_is_compared_on_the_same_records(records: list[Path], statistics: StatisticsConfig) -> None:
    frame = ablation_frame(read_cells(records), "baft", statistics).set_index(["method", "metric"])
    plain = frame.loc[("baft@plain", "edit_success")]
    assert plain["mean"] == pytest.approx(0.5)
    assert plain["difference"] == pytest.approx(np.mean([-0.5, 0.0, -0.25]))
    assert plain["difference_low"] <= plain["difference"] <= plain["difference_high"]
    assert frame.loc[("baft@plain", "locality"), "difference"] == pytest.approx(0.25)
    assert frame.loc[("baft@late", "edit_success"), ["difference", "p_holm"]].tolist() == [0, 1]
    assert frame.loc["baft", "difference"].isna().all()
    changed = {method: text for (method, _), text in frame["changed"].items()}
    assert changed == {"baft": "", "baft@plain": "gate: constant", "baft@late": "gate: softmax, layer: 28"}


def test_the_correction_is_across_the_column_that_the_table_shows(
    records: list[Path], statistics: StatisticsConfig
) -> None:
    frame = ablation_frame(read_cells(records), "baft", statistics)
    assert set(frame["metric"]) == {"edit_success", "locality"}
    compared = frame.dropna(subset="p")
    assert len(compared) == 4
    for _, column in compared.groupby("metric"):
        assert column["p_holm"].min() == pytest.approx(min(1, 2 * column["p"].min()))


def test_the_table_has_the_method_first_and_variants_in_their_order(
    records: list[Path], tmp_path: Path, statistics: StatisticsConfig
) -> None:
    paths = tabulate_ablations(records[::-1], METHODS, tmp_path / "ablations", statistics)
    assert [path.suffix for path in paths] == [".csv", ".md", ".tex", ".json"]
    rows = [line.split("|")[1].strip() for line in paths[1].read_text().splitlines() if line.startswith("|")]
    assert [row for row in rows if row in ("BaFT", "gate: constant", "gate: softmax, layer: 28")] == [
        "BaFT",
        "gate: constant",
        "gate: softmax, layer: 28",
    ]
    assert len(pd.read_csv(paths[0])) == 3 * 2
    first = next(line for line in paths[1].read_text().splitlines() if line.startswith("| BaFT"))
    assert first.count("–") == 2, "the method is not apart from itself"


def test_a_variant_that_is_missing_is_left_out(
    records: list[Path], tmp_path: Path, statistics: StatisticsConfig
) -> None:
    text = tabulate_ablations(records[:2], METHODS, tmp_path / "ablations", statistics)[1].read_text()
    assert "gate: constant" in text and "softmax" not in text
