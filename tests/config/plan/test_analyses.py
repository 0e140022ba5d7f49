"""The analysis of edits: of which methods, and with which settings."""

import pytest

from baft.config import AnalysisSpec, Plan, parse_study, read_spec
from baft.errors import UserError
from baft.results.store import partition_path


def analysed(**config: object) -> Plan:
    return Plan(parse_study({"models": {"smollm2-135m": {}}, **config}))


def analyses(**config: object) -> list[str]:
    return [figure.name for figure in analysed(**config).report.figures if figure.cells == "bases"]


def test_figures_of_the_analysis_are_those_that_the_methods_allow() -> None:
    assert analyses(methods=["none", "rome"]) == []
    assert analyses(methods=["reft"]) == ["redundant_dimensions", "generality_locality_bound"]
    everything = ["redundant_dimensions", "basis_weights", "method_picture", "generality_locality_bound"]
    assert analyses(methods=["baft"]) == analyses(methods=["baft_keyed"]) == everything
    still = {"baft": {"settings": {"gate": "constant"}}, "baft_keyed": {"settings": {"gate": "constant"}}}
    assert analyses(methods=still) == analyses(methods=["reft"])
    assert analyses(methods=["baft", "reft"], analysis={"records": 0}) == []


def test_the_analysis_edits_with_one_line_of_each_method_at_its_own_rank_and_layer() -> None:
    methods = {
        "wide": {"method": "baft", "settings": {"rank": 4, "locality": 3.0}},
        "baft": {"settings": {"lr": 0.5}, "sweep": {"locality": [1.0]}},
        "mine": {"method": "reft", "settings": {"rank": 4, "layer": 3}},
    }
    plan = analysed(methods=methods, analysis={"records": 5, "rank": 7}, seeds=[3, 4])
    spec = read_spec(AnalysisSpec, plan.analyses.spec("smollm2-135m"))
    assert (spec.records, spec.seed) == (5, 3)
    baft, reft = sorted(spec.methods, key=lambda method: method.method)
    assert (baft.label, baft.settings["rank"], baft.settings["lr"]) == ("baft", 7, 0.5)
    assert (reft.label, reft.settings["rank"], reft.settings["layer"]) == ("mine", 7, 3)
    moved = analysed(methods=methods, analysis={"layer": 0.5}).analyses.spec("smollm2-135m")
    assert all(method.settings["layer"] == 0.5 for method in read_spec(AnalysisSpec, moved).methods)


def test_a_wrong_setting_of_the_analysis_is_told_before_anything_runs() -> None:
    with pytest.raises(UserError, match=r"analysis\.layer: it is 1\.5, but must be"):
        analysed(methods=["baft"], analysis={"layer": 1.5}).check()
    analysed(methods=["rome"], analysis={"layer": 1.5}).check()
    analysed(methods=["baft"], analysis={"layer": 1.5, "records": 0}).check()


def test_the_record_of_the_picture_reaches_its_command_alone() -> None:
    plan = analysed(methods=["baft"], analysis={"picture": "r 5"})
    told = {one.name: grid.settings for one, grid in plan.report.products.items() if grid.settings}
    assert told == {"method_picture": {"analysis.picture": "r 5"}}


def test_the_layout_of_the_analysis_is_that_of_the_result_files() -> None:
    grid = analysed(methods=["baft"], benchmarks={"mini_zsre": {}, "mini_wikibio": {}}).grids.all
    model = {"model": "smollm2-135m"}
    assert grid.bases() == [
        partition_path("results/bases", **model, benchmark=b) for b in ("mini_zsre", "mini_wikibio")
    ]
