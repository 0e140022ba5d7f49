"""Figures of all methods at once: each is named and seen, and nothing hides anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from baft.config import StatisticsConfig
from baft.report.figures.batched_sequence_length import plot_batched_sequence_length
from baft.report.figures.editing import plot_editing
from baft.report.figures.parameters import plot_parameters
from baft.report.figures.tradeoff import plot_tradeoff
from baft.report.labels import FLOORS, known_methods, method_name
from tests.report.conftest import Study, make_study
from tests.report.figures.layout import faults
from tests.report.figures.layout import saved as saved
from tests.report.test_sequences import stream, summary

METHODS = [name for name in known_methods() if name not in FLOORS]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """All methods on one benchmark, many of them with the same scores."""
    quality = {
        name: ((1.5, 1.0)[k % 2], (1.0, 0.5, 1.0)[k % 3], 10 ** (k % 8), 10 ** (k % 8))
        for k, name in enumerate(METHODS)
    }
    methods = {"none": (0.05, 1.0, 0, 0), "zero": (0.05, 1.0, 0, 0), **quality}
    return make_study(tmp_path_factory.mktemp("everything"), methods, ["mini_wiki_counterfact"], 3)


@pytest.mark.parametrize("name", ["tradeoff", "editing"])
def test_a_tradeoff_shows_every_method(
    name: str, everything: Study, saved: list[Figure], statistics: StatisticsConfig, tmp_path: Path
) -> None:
    plot = {"tradeoff": plot_tradeoff, "editing": plot_editing}[name]
    plot(everything.records, tmp_path / name, statistics)
    (figure,) = saved
    assert faults(figure) == []
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(entries) == sorted([*map(method_name, known_methods()), "Pareto front"])


def test_parameters_show_every_method(
    everything: Study, saved: list[Figure], statistics: StatisticsConfig, tmp_path: Path
) -> None:
    plot_parameters(everything.records, everything.edits, tmp_path / "parameters", statistics)
    (figure,) = saved
    assert faults(figure) == []
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(map(method_name, METHODS))


def test_a_sequence_shows_every_method_though_all_score_the_same(
    saved: list[Figure], statistics: StatisticsConfig, tmp_path: Path
) -> None:
    alike = [stream(name, [1.0] * 4, [1.0, 1.0], [1.0] * 4) for name in "ab"]
    records = [summary(tmp_path / method, method, *alike) for method in METHODS]
    paths = plot_batched_sequence_length(records, tmp_path / "sequences", statistics)
    (figure,) = saved
    assert faults(figure) == []
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == list(map(method_name, METHODS))
    marks = [line.get_xydata() for line in axis.lines if line.get_marker() not in ("None", "|", "")]
    places = np.concatenate(marks)
    frame = pd.read_csv(paths[2])
    assert len(places) == frame["scored"].eq("final").sum() == 2 * len(METHODS)
    assert len(np.unique(places, axis=0)) == len(places)
