from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from baft.benchmarks.prepare import prepare_benchmark
from baft.config import BenchmarkConfig, Cell, Grid, PageSpec, Plan, StatisticsConfig, parse_study
from baft.config.products import Product, TableProduct, all_products
from baft.errors import UserError
from baft.report.finished import finished_text, write_report
from baft.report.rendering import HOLE
from tests.report.conftest import SWEPT, make_study
from tests.report.figures.test_analysis import DRAW, rows
from tests.report.test_bases import write as bases
from tests.report.test_sensitivity import cell
from tests.report.test_sequences import stream, summary

METHODS = ("none", "baft", "reft")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a study of which one cell, and all of another method, have not finished."""
    root = tmp_path_factory.mktemp("results")
    methods = {name: SWEPT[name] for name in (*METHODS, "baft@locality-3")}
    made = make_study(root, methods, ["mini_zsre", "mini_wikibio"], 8)
    for path in made.records:
        if {"method=reft", "benchmark=mini_wikibio"} <= set(path.parts):
            path.unlink()
    for name in ("mini_zsre", "mini_wikibio"):
        prepare_benchmark(BenchmarkConfig(limit=2), name, root / "benchmarks" / f"{name}.parquet")
    return root


def grid(results: Path, *methods: str, points: tuple[str, ...] = ("baft@locality-3",)) -> Grid:
    return Grid(
        results=str(results),
        models=("tiny",),
        methods=methods,
        points=points,
        protocols={"single": ("mini_zsre", "mini_wikibio")},
        benchmarks={"mini_zsre": 1, "mini_wikibio": 1},
        seeds=(0,),
        statistics=StatisticsConfig(reference="reft"),
    )


def products(grid: Grid, **others: Grid) -> dict[Product, Grid]:
    """The products of a study with these cells, the further ones by what products call them."""
    grids = dict.fromkeys(("records", "curves", "benchmarks"), grid) | others
    return {one: grids[one.cells] for one in all_products() if one.cells in grids}


def made_of(
    products: dict[Product, Grid], out: Path, *, partial: bool, told: Mapping[Path, Cell] | None = None
) -> Path:
    """The report of these products, for a study of no more than they say."""
    grid = next(iter(products.values()))
    more = {
        "sensitivity": {"method": "baft", "layer": [1], "rank": [2]},
        "ablations": {"method": "baft", "variants": {"a": {"rank": 3}}},
    }
    told = told or {}
    if told:
        more["benchmarks"] = {cell.benchmark: {} for cell in told.values()}
    config = parse_study({"study": "small", **more})
    labels = [one for one in products if isinstance(one, TableProduct)]
    page = PageSpec(
        config=config.model_dump(mode="json"),
        grid=grid,
        tables={name: label for one in labels for name, label in one.labels.items()},
        figures={one.name: one.label for one in products if one.folder == "figures"},
        methods=(),
    )
    return write_report(products, told, page, out, partial=partial)


def test_what_has_finished_is_shown_with_holes(results: Path) -> None:
    text = finished_text(results, {})
    blocks = text.split("mini_wikibio")
    assert "BaFT" in blocks[0] and "ReFT" in blocks[0]
    hole = next(line for line in blocks[1].splitlines() if line.strip().startswith("ReFT"))
    assert set(hole.split()[1:]) == {HOLE}
    assert "@" not in text, "swept points are shown only if named"


def test_filters_choose_cells_and_swept_points_can_be_named(results: Path) -> None:
    text = finished_text(results, {"method": ["baft@locality-3"], "benchmark": ["mini_zsre"], "model": []})
    assert "baft@locality-3" in text
    assert "ReFT" not in text and "mini_wikibio" not in text
    with pytest.raises(UserError, match=r"No cell under .* with method rome"):
        finished_text(results, {"method": ["rome"]})


def test_a_partial_report_has_every_table_and_figure_and_names_what_is_missing(results: Path, tmp_path: Path) -> None:
    made = made_of(products(grid(results, *METHODS, "lora")), tmp_path, partial=True)
    text = made.read_text()
    assert "This report is partial: 3 cells are missing" in text
    assert "method lora, benchmark mini_zsre" in text and "method reft, benchmark mini_wikibio" in text
    for name in ("area under the trade-off", "cost of an edit", "differences from ReFT", "Benchmarks as read"):
        assert name in text
    assert text.count('src="data:image/png;base64,') == 4
    assert (tmp_path / "tables" / "main.tex").is_file()


def test_a_report_that_is_not_partial_needs_every_cell(results: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"1 of 8 cells are missing, first .*method reft, benchmark mini_wikibio"):
        made_of(products(grid(results, *METHODS)), tmp_path, partial=False)
    assert not list(tmp_path.iterdir())
    whole = products(grid(results, "none", "baft", points=()))
    assert "This report is partial" not in made_of(whole, tmp_path, partial=False).read_text()


def test_results_of_other_settings_are_not_reported_as_those_of_the_study(results: Path, tmp_path: Path) -> None:
    whole = grid(results, "none", "baft", points=())
    study = {"results": str(results), "models": {"tiny": {}}, "benchmarks": {"mini_zsre": {}, "mini_wikibio": {}}}
    told = Plan(parse_study({**study, "methods": {"none": None, "baft": None}})).edits.cells()
    own = {path: cell for path, cell in told.items() if cell.benchmark == "mini_zsre"}
    said = r"2 of 4 cells were run otherwise than the study says, first .*benchmark mini_zsre, seed 0 \(with kind"
    with pytest.raises(UserError, match=said):
        made_of(products(whole), tmp_path, partial=False, told=own)
    assert not list(tmp_path.iterdir())
    text = made_of(products(whole), tmp_path, partial=True, told=own).read_text()
    assert "This report is partial: 2 cells were run otherwise than the study says now" in text
    assert "method baft, benchmark mini_zsre, seed 0 (with " in text and "cells are missing" not in text
    assert set(pd.read_csv(tmp_path / "tables/main.csv")["benchmark"]) == {"mini_wikibio"}
    with pytest.raises(UserError, match=r"4 of 4 cells were run otherwise .*: run the study again"):
        made_of(products(whole), tmp_path / "none", partial=True, told=told)


def test_a_product_of_an_earlier_report_is_not_shown_again(results: Path, tmp_path: Path) -> None:
    made_of(products(grid(results, "none", "baft")), tmp_path, partial=True)
    (tmp_path / "tables/mine.csv").write_text("mine")
    assert (tmp_path / "tables/loading.json").is_file()
    gone = products(grid(results, "none", "baft"), benchmarks=grid(tmp_path / "elsewhere", "none"))
    text = made_of(gone, tmp_path, partial=True).read_text()
    assert "Benchmarks as read" not in text and not (tmp_path / "tables/loading.json").exists()
    assert (tmp_path / "tables/main.json").is_file() and (tmp_path / "tables/mine.csv").is_file()


def test_nothing_finished_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run a study first"):
        finished_text(tmp_path, {})
    with pytest.raises(UserError, match="no summarised cells"):
        made_of(products(grid(tmp_path, "none")), tmp_path / "out", partial=True)


def test_a_report_has_the_figures_of_streams_of_the_map_and_of_the_analysis(tmp_path: Path) -> None:
    for label in ("reft", "reft@layer-5@rank-1"):
        own = {"name": "reft", "layer": 5 if "@" in label else 25, "rank": 1 if "@" in label else 12}
        cell(tmp_path, label, own, [0.5, 1.0])
    summary(tmp_path, "reft", stream("a", [1.0, 1.0], [], [0.0, 1.0]), stream("b", [1.0, 0.5], [], [1.0, 0.5]))
    bases(tmp_path / "bases", "b", rows())
    common = {"results": str(tmp_path), "models": ("m",), "seeds": (0,), "statistics": StatisticsConfig()}
    single = {"protocols": {"single": ("b",)}, "benchmarks": {"b": 1}, "analysed": ("b",)}
    whole = Grid(methods=("reft",), **single, **common)
    chart = Grid(methods=("reft", "reft@layer-5@rank-1"), **single, **common)
    streams = Grid(methods=("reft",), protocols={"continual": ("zsre",)}, benchmarks={"zsre": 1}, **common)
    study = products(whole, sequences=streams, sensitivity=chart, ablations=chart, bases=picture_of(whole, None))
    made = made_of(study, tmp_path / "out", partial=False)
    drawn = [path.stem for path in (tmp_path / "out/figures").glob("*.png")]
    assert sorted(drawn) == sorted(one.name for one in study if one.folder == "figures") and set(DRAW) <= set(drawn)
    text = made.read_text()
    assert text.count('src="data:image/png;base64,') == len(drawn)
    assert (tmp_path / "out/tables/forgetting.csv").is_file()
    assert "ReFT and variants of it" in text
    places = [text.index(f'<figure id="figure-{one.name}">') for one in study if one.folder == "figures"]
    assert places == sorted(places), "figures stand in the order of the report"
    with pytest.raises(UserError, match="no-such-record"):
        made_of(products(whole, bases=picture_of(whole, "no-such-record")), tmp_path / "other", partial=False)
    missing = chart.model_copy(update={"methods": ("reft", "reft@layer-5@rank-8")})
    with pytest.raises(UserError, match=r"1 of 2 cells are missing, first .*method reft@layer-5@rank-8"):
        made_of(products(whole, sensitivity=missing), tmp_path / "again", partial=False)


def picture_of(grid: Grid, record: str | None) -> Grid:
    return grid.model_copy(update={"settings": {"analysis.picture": record}})
