from pathlib import Path

import pandas as pd

from baft.config import StatisticsConfig
from baft.report.figures.parameters import _lines, plot_parameters
from tests.report.conftest import METHODS, Study, make_study


def test_files_and_numbers(study: Study, statistics: StatisticsConfig, tmp_path: Path) -> None:
    paths = plot_parameters(study.records, study.edits, tmp_path / "a" / "parameters", statistics)
    assert [path.name for path in paths] == ["parameters.pdf", "parameters.png", "parameters.csv"]
    frame = pd.read_csv(paths[2])
    assert set(frame["method"]) == set(METHODS) - {"none"}
    row = frame.query("method == 'rome' and benchmark == 'mini_zsre'").iloc[0]
    assert (row["parameters_trained"], row["parameters_changed"]) == METHODS["rome"][2:]
    assert (row["numbers_stored"], row["stream_edits"]) == (METHODS["rome"][3], 1)
    assert row["edit_success_low"] <= row["edit_success_mean"] <= row["edit_success_high"]
    again = plot_parameters(study.records, study.edits, tmp_path / "b" / "parameters", statistics)
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]


def test_holes_can_be_drawn(study: Study, statistics: StatisticsConfig, tmp_path: Path) -> None:
    records = [path for path in study.records if not {"method=lora", "benchmark=mini_zsre"} <= set(path.parts)]
    paths = plot_parameters(records, study.edits, tmp_path / "parameters", statistics)
    assert pd.read_csv(paths[2]).query("method == 'lora'")["edit_success_mean"].isna().sum() == 1


def test_many_benchmarks_and_unrecorded_parameters(statistics: StatisticsConfig, tmp_path: Path) -> None:
    methods = {"reft": (0.9, 0.5, None, None)}
    study = make_study(tmp_path, methods, list("abcdefg"), 3)  # type: ignore[arg-type]
    assert all(path.stat().st_size for path in plot_parameters(study.records, study.edits, tmp_path / "p", statistics))


def test_a_protocol_has_panels_of_the_benchmarks_that_it_was_run_on() -> None:
    shown = pd.DataFrame({"benchmark": ["zsre", "zsre"], "method": ["reft", "rome"]})
    assert _lines(shown) == [["zsre"]]
    assert [len(line) for line in _lines(pd.DataFrame({"benchmark": list("abcdefg")}))] == [5, 2]


def test_only_the_unedited_model_can_be_drawn(statistics: StatisticsConfig, tmp_path: Path) -> None:
    study = make_study(tmp_path, {"none": METHODS["none"]}, ["b"], 3)
    assert all(path.stat().st_size for path in plot_parameters(study.records, study.edits, tmp_path / "p", statistics))
