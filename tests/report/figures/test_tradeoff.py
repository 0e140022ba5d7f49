from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from baft.config import StatisticsConfig
from baft.report import style
from baft.report.figures.editing import plot_editing
from baft.report.figures.tradeoff import plot_tradeoff
from baft.report.tradeoff_panels import _apart, _panel, _write_outside
from tests.report.conftest import METHODS, SWEPT, Study, make_study
from tests.report.test_tradeoff import ALL, kinds_of


def test_three_files_that_depend_on_the_data_alone(study: Study, statistics: StatisticsConfig, tmp_path: Path) -> None:
    paths = plot_tradeoff(study.records, tmp_path / "a" / "tradeoff.pdf", statistics)
    assert [path.name for path in paths] == ["tradeoff.pdf", "tradeoff.png", "tradeoff.csv"]
    again = plot_tradeoff(study.records[::-1], tmp_path / "b" / "tradeoff", statistics)
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]


def test_curves_can_be_drawn(swept_study: Study, statistics: StatisticsConfig, tmp_path: Path) -> None:
    paths = plot_tradeoff(swept_study.records, tmp_path / "tradeoff", statistics)
    frame = pd.read_csv(paths[2], keep_default_na=False)
    assert set(frame["method"]) == set(SWEPT)
    holes = [path for path in swept_study.records if "method=ft_l" not in path.parts or "mini_zsre" not in str(path)]
    assert len(holes) == len(swept_study.records) - 1
    assert all(path.stat().st_size for path in plot_tradeoff(holes, tmp_path / "holes", statistics))


@pytest.mark.parametrize(
    ("methods", "benchmarks", "models"),
    [(["none"], ["b"], ("m",)), (["reft"], ["b"], ("m", "n")), (["none", "reft", "x"], list("abcdefg"), ("m",))],
)
def test_any_shape_of_study_can_be_drawn(
    methods: list[str], benchmarks: list[str], models: tuple[str, ...], tmp_path: Path, statistics: StatisticsConfig
) -> None:
    chosen = {name: METHODS.get(name, METHODS["reft"]) for name in methods}
    study = make_study(tmp_path, chosen, benchmarks, 3, models)
    paths = plot_tradeoff(study.records, tmp_path / "figure", statistics)
    assert all(path.stat().st_size for path in paths)
    assert set(pd.read_csv(paths[2], keep_default_na=False)["method"]) == set(methods)


def test_editing_is_drawn_with_what_it_shows(swept_study: Study, statistics: StatisticsConfig, tmp_path: Path) -> None:
    paths = plot_editing(swept_study.records, tmp_path / "editing", statistics)
    frame = pd.read_csv(paths[2], keep_default_na=False)
    assert {"editing_mean", "editing_low", "locality_mean", "on_front", "parts"} <= set(frame.columns)


def test_a_study_without_locality_has_a_sentence_and_its_numbers(
    statistics: StatisticsConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    text = Figure.text
    monkeypatch.setattr(Figure, "text", lambda self, x, y, s, **how: written.append(s) or text(self, x, y, s, **how))
    records = kinds_of(tmp_path, {"none": {"reliability": 0.0}, "reft": {"reliability": 1.0}})
    for plot, score in ((plot_tradeoff, "success"), (plot_editing, "editing")):
        paths = plot(records, tmp_path / score, statistics)
        assert written.pop() == f"No benchmark has both {score} and locality."
        frame = pd.read_csv(paths[2], keep_default_na=False).query("variant == 'forced'")
        assert frame[f"{score}_mean"].astype(float).tolist() == [0.0, 1.0]


def test_a_method_whose_edits_all_failed_is_in_the_legend(
    statistics: StatisticsConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: list[str] = []
    handles = style.legend_handles
    monkeypatch.setattr(style, "legend_handles", lambda given: named.extend(given) or handles(given))
    swept = {"reft": ALL, "reft@rank-2": ALL, "rome": ALL}
    assert all(
        path.stat().st_size for path in plot_tradeoff(kinds_of(tmp_path, swept, "rome"), tmp_path / "a", statistics)
    )
    assert named == ["reft", "rome"]


def test_a_panel_of_which_nothing_was_measured_is_empty() -> None:
    axis = Figure().subplots()
    columns = ["method", "line", "place", "on_front", *(f"{side}_mean" for side in ("locality", "score"))]
    nothing = pd.DataFrame([["reft", "reft", 0, False, float("nan"), float("nan")]], columns=columns)
    _panel(axis, nothing, style.marks(["reft"]))
    assert not axis.containers


def test_marks_in_one_place_stand_in_a_ring_around_it() -> None:
    axis = Figure().subplots()
    axis.set(xlim=(0, 100), ylim=(0, 100))
    shifts = _apart(axis, np.array([[50.0, 50.0], [50.5, 50.0], [10.0, 50.0], [51.0, 50.5]]))
    assert (shifts[2] == 0).all()
    ring = shifts[[0, 1, 3]]
    assert np.allclose(ring.sum(axis=0), 0) and np.ptp(np.linalg.norm(ring, axis=1)) == pytest.approx(0)
    gaps = np.linalg.norm(ring[:, None] - ring[None], axis=2)[np.triu_indices(3, 1)]
    assert (gaps >= 4).all()
    left, right = _apart(axis, np.array([[30.0, 20.0], [29.0, 20.0]]))[::-1]
    assert left[0] < 0 < right[0] and left[1] == pytest.approx(0, abs=1e-9)


def test_a_reference_outside_the_axes_is_written_above_them_and_not_drawn() -> None:
    axis = Figure().subplots()
    axis.set(xlim=(40, 104), ylim=(40, 104))
    columns = ["method", "line", "place", "on_front", *(f"{s}_{p}" for s in ("locality", "score") for p in _PARTS)]
    where = {"none": (1.0, 0.05), "zero": (0.9, 0.5), "reft": (0.5, 1.0)}
    rows = [[name, name, 0, False, x, x, x, y, y, y] for name, (x, y) in where.items()]
    shown = pd.DataFrame(rows, columns=columns)
    given = style.marks(where)
    _panel(axis, shown, given)
    _write_outside(axis, shown)
    assert [text.get_text() for text in axis.texts] == ["outside: ★ 100, 5"]
    drawn = {line.get_marker() for line in axis.lines}
    assert given["none"].marker not in drawn and {given["zero"].marker, given["reft"].marker} <= drawn


_PARTS = ("mean", "low", "high")
