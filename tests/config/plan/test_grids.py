"""Which cells a table or figure is made of."""

import json
from pathlib import Path
from typing import Any

import pytest

from baft.config import Cell, Grid, Plan, parse_study, read_spec
from baft.config.plan.grid import CELL
from baft.errors import UserError
from tests.config.plan.studies import ABLATED, ablated, plan


def test_the_grid_lists_every_cell_and_shard_and_survives_json(tmp_path: Path) -> None:
    grid = plan(tmp_path).grids.all
    assert len(grid.records()) == 2 * 2 * 2
    assert len(grid.edits()) == 2 * (2 + 1) * 2
    assert len(set(grid.edits())) == len(grid.edits())
    assert read_spec(Grid, grid.model_dump_json()) == grid
    assert len(json.dumps(grid.model_dump())) < 1000


def test_methods_are_compared_with_the_first_that_edits_unless_another_is_named(tmp_path: Path) -> None:
    assert plan(tmp_path).grids.all.statistics.reference == "toy"
    assert plan(tmp_path, statistics={"reference": "fast"}).grids.all.statistics.reference == "fast"
    assert parse_study({"methods": ["none"]}).reference is None


def test_tables_are_made_of_the_lines_and_curves_of_all(tmp_path: Path) -> None:
    grid = plan(tmp_path, methods={"toy": {"method": str(tmp_path / "toy.py"), "sweep": {"lr": [1, 2]}}}).grids.all
    assert (len(grid.records()), len(grid.curve_records())) == (4, 12)
    assert not any("@" in str(path) for path in [*grid.records(), *grid.edits()])


def test_swept_points_are_run_on_the_benchmarks_chosen_for_curves(tmp_path: Path) -> None:
    chosen = {
        "methods": {"toy": {"method": str(tmp_path / "toy.py"), "sweep": {"lr": [1, 2]}}},
        "curves": {"benchmarks": ["mini_zsre"]},
    }
    grid = plan(tmp_path, **chosen).grids.all
    swept = set(grid.curve_records()) - set(grid.records())
    # Two points with two seeds, each of two shards.
    assert (len(grid.records()), len(swept), len(grid.shards()) - len(grid.edits())) == (4, 4, 8)
    assert all("@" in str(path) and "benchmark=mini_zsre/" in str(path) for path in swept)
    with pytest.raises(UserError, match=r"curves\.benchmarks has 'x'"):
        plan(tmp_path, **chosen | {"curves": {"benchmarks": ["x"]}})


def test_a_map_has_a_method_for_every_pair_of_layer_and_rank(tmp_path: Path) -> None:
    study: dict[str, Any] = {
        "models": {"smollm2-135m": {}},
        "methods": {"none": None, "wide": {"method": "reft", "settings": {"layer": 25, "rank": 4}}},
        "protocols": {"single": {}, "continual": {"length": 2}},
        "sensitivity": {"method": "wide", "layer": [10, 25], "rank": [4, 8], "protocol": "continual"},
    }
    made = Plan(parse_study(study))
    made.check()
    # With layer 25 and rank 4 it is the line, which is not run twice.
    assert list(made.lineup.lattice) == ["wide@layer-10@rank-4", "wide@layer-10@rank-8", "wide", "wide@layer-25@rank-8"]
    chart = made.grids.sensitivity
    assert chart is not None
    assert len(chart.records()) == len(chart.shards()) == 4
    assert all("protocol=continual" in str(path) for path in chart.records())
    assert len(made.grids.all.records()) == len(made.grids.all.curve_records()) == 3 * 2
    assert len(made.grids.edit_jobs()) == len(made.grids.summaries()) == 3 * 2 + 3
    files = made.outputs.all()
    assert len(files) == len(set(files)) and set(chart.records()) <= set(files)
    cell = ("smollm2-135m", "wide@layer-10@rank-8", "single", "mini_wiki_recent", "0")
    settings = Cell.from_spec(made.edits.spec(*cell)).method.settings
    assert (settings["layer"], settings["rank"]) == (10, 8)
    sensitivity = {**study["sensitivity"], "benchmarks": ["mini_zsre"]}
    two = {**study, "benchmarks": {"mini_wiki_recent": {}, "mini_zsre": {}}, "sensitivity": sensitivity}
    few = Plan(parse_study(two)).grids.sensitivity
    assert few is not None and len(few.records()) == 4
    assert all("benchmark=mini_zsre/" in str(path) for path in few.records())
    assert Plan(parse_study({"methods": ["reft"]})).grids.sensitivity is None


def test_variants_are_run_where_they_are_wanted_and_stand_in_no_other_table() -> None:
    variants = {"narrow": {"rank": 2}, "late": {"layer": 28, "rank": 2}}
    made = ablated(method="reft", variants=variants, benchmarks=["mini_zsre"])
    assert list(made.lineup.variants) == ["reft@narrow", "reft@late"]
    table = made.grids.ablations
    assert table is not None and table.methods == ("reft", "reft@narrow", "reft@late")
    assert len(table.records()) == 3 * 2 and all("benchmark=mini_zsre/" in str(path) for path in table.records())
    assert not any("@narrow" in str(path) for path in made.grids.all.curve_records())
    assert set(table.records()) <= set(made.grids.summaries()) and len(made.grids.summaries()) == 4 * 3 + 2 * 2
    cell = ("smollm2-135m", "reft@late", "long", "mini_zsre", "0")
    settings = Cell.from_spec(made.edits.spec(*cell)).method.settings
    assert (settings["layer"], settings["rank"]) == (28, 2)
    single = ablated(method="reft", variants=variants, protocols=["single"]).grids.ablations
    assert single is not None and list(single.protocols) == ["single"] and len(single.records()) == 3 * 2
    assert Plan(parse_study({"methods": ["reft"]})).grids.ablations is None


def test_protocols_and_the_analysis_may_be_for_some_benchmarks_only() -> None:
    benchmarks = {"mini_zsre": {}, "mini_wikibio": {}}
    protocols = {"single": {}, "long": {"length": 5, "benchmarks": ["mini_wikibio"]}}
    plan = Plan(
        parse_study(
            {
                "benchmarks": benchmarks,
                "methods": ["none", "baft"],
                "protocols": protocols,
                "analysis": {"benchmarks": ["mini_zsre"]},
            }
        )
    )
    cells = {(path.parts[4], path.parts[5]) for path in plan.grids.all.records()}
    assert cells == {
        ("protocol=single", "benchmark=mini_zsre"),
        ("protocol=single", "benchmark=mini_wikibio"),
        ("protocol=long", "benchmark=mini_wikibio"),
    }
    assert plan.grids.sequences is not None and len(plan.grids.sequences.records()) == 3
    assert [path.parts[-2] for path in plan.grids.all.bases()] == ["benchmark=mini_zsre"]


def test_a_method_may_be_run_with_some_protocols_only_and_its_points_with_it() -> None:
    reft = {"protocols": ["long"], "sweep": {"rank": [8]}}
    plan = Plan(parse_study({**ABLATED, "methods": {"none": None, "reft": reft, "lora": None}}))
    plan.check()
    cells = {(path.parts[3], path.parts[4], path.parts[5]) for path in plan.grids.all.curve_records()}
    single = {("protocol=single", f"benchmark={benchmark}") for benchmark in ABLATED["benchmarks"]}
    long = {("protocol=long", "benchmark=mini_zsre")}
    assert cells == {
        *(("method=none", *place) for place in single | long),
        *(("method=zero", *place) for place in single | long),
        *(("method=lora", *place) for place in single | long),
        *(("method=reft", *place) for place in long),
        *(("method=reft@rank-8", *place) for place in long),
    }
    assert len(plan.grids.edit_jobs()) == len(plan.grids.all.shards()) == 3 * 3 + 2
    for job in plan.grids.edit_jobs():
        plan.edits.spec(*(str(job[name]) for name in CELL))
    with pytest.raises(KeyError):
        plan.edits.spec("smollm2-135m", "reft", "single", "mini_zsre", "0")
    variants = {"method": "reft", "variants": {"narrow": {"rank": 2}}}
    ablated = Plan(parse_study({**ABLATED, "methods": {"reft": reft}, "ablations": variants})).grids.ablations
    assert ablated is not None and len(ablated.records()) == 2
    assert all("protocol=long" in str(path) for path in ablated.records())
