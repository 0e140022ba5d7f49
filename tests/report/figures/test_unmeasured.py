"""Figures of studies in which something could not be measured: drawn without it, and they say so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from baft.config import StatisticsConfig
from baft.report import style
from baft.report.figures.parameters import plot_parameters
from baft.report.figures.sensitivity import plot_sensitivity
from baft.report.figures.tradeoff import plot_tradeoff
from tests.report.test_cells import score, write_cell
from tests.results.synthetic import probe

TOO_LONG = "takes 900 tokens"


@pytest.fixture
def records(tmp_path: Path) -> list[Path]:
    """Three cells: no locality, no success, and both of them of one record of two."""
    of_method = {
        "none": [score(1.0), probe("a", "locality", error=TOO_LONG)],
        "zero": [probe("a", "reliability", error=TOO_LONG), probe("a", "locality", agreement=1.0)],
        "reft": [score(1.0), probe("a", "locality", agreement=0.5), score(0.0, record="b")],
    }
    of_method["reft"] += [probe("b", "locality", error=TOO_LONG)]
    return [
        write_cell(tmp_path, rows, {"method": method}, method={"name": method, "layer": layer, "rank": 2})
        for layer, (method, rows) in enumerate(of_method.items())
    ]


def edits(records: list[Path]) -> list[Path]:
    return [Path(str(path.parent).replace("/records/", "/edits/")) / "shard=0" / path.name for path in records]


DRAW: dict[str, Callable[[list[Path], Path, StatisticsConfig], list[Path]]] = {
    "tradeoff": plot_tradeoff,
    "parameters": lambda records, out, statistics: plot_parameters(records, edits(records), out, statistics),
    "sensitivity": plot_sensitivity,
}


@pytest.mark.parametrize("name", DRAW)
def test_what_is_not_there_is_not_drawn_as_a_number(
    name: str, records: list[Path], tmp_path: Path, statistics: StatisticsConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    saved = Figure.savefig

    def savefig(figure: Figure, *args: object, **kwargs: object) -> None:
        saved(figure, *args, **kwargs)  # type: ignore[arg-type]
        said.extend(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))  # type: ignore[attr-defined]

    monkeypatch.setattr(Figure, "savefig", savefig)
    paths = DRAW[name](records, tmp_path / name, statistics)
    assert not any("nan" in text for text in said)
    frame = pd.read_csv(paths[2])
    counted = [column for column in frame if column.endswith("unmeasured")]
    assert counted
    lost = int(frame[counted].sum().sum())
    assert any(f"could not be taken and are left out: {lost} " in text for text in said) == bool(lost)
    assert bool(lost) == (name != "parameters")


def test_a_map_without_any_measurement_is_one_of_holes(tmp_path: Path, statistics: StatisticsConfig) -> None:
    rows = [probe("a", "reliability", error=TOO_LONG), probe("a", "locality", error=TOO_LONG)]
    path = write_cell(tmp_path, rows, {}, method={"name": "reft", "layer": 3, "rank": 2})
    frame = pd.read_csv(plot_sensitivity([path], tmp_path / "map", statistics)[2])
    assert frame["mean"].isna().all() and frame["unmeasured"].tolist() == [1, 1]


def test_a_whole_figure_says_nothing_of_it(tmp_path: Path) -> None:
    with style.drawing(2, 2) as figure:
        style.save(figure, pd.DataFrame({"unmeasured": [0, 0]}), tmp_path / "whole")
        assert not figure.get_suptitle()
