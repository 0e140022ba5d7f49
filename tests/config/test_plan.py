"""The plan: what a job is told, and which files a table is made of."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from baft.config import AnalysisSpec, Cell, Grid, Plan, TuningSpec, parse_study, read_spec
from baft.config.layout import Layout, at
from baft.errors import UserError
from baft.results.schema import PARTITIONS
from baft.results.store import partition_path
from tests.config.toy import write_toy

CELL = ("m", "fast", "single", "mini_zsre", "1")


def plan(folder: Path, **changes: object) -> Plan:
    toy = write_toy(folder)
    config = {
        "models": {"m": {}},
        "benchmarks": {"mini_zsre": {"shards": 2}, "mini_wikibio": {}},
        "methods": {"toy": {"method": toy}, "fast": {"method": toy, "settings": {"lr": 1.0, "covariance": True}}},
        "seeds": [0, 1],
        "zero_edit": False,
    }
    return Plan(parse_study(config | changes))


def test_a_job_is_told_its_merged_settings_and_reads_them_back(tmp_path: Path) -> None:
    spec = plan(tmp_path).edit_spec(*CELL)
    cell = Cell.from_spec(spec)
    assert (cell.method.label, cell.method.method) == ("fast", str(tmp_path / "toy.py"))
    assert cell.method.settings == {"lr": 1.0, "covariance": True, "layer": 3}
    assert cell.seed == 1
    assert cell.spec() == spec


def test_the_jobs_of_a_cell_share_what_their_command_is_given(tmp_path: Path) -> None:
    made = plan(tmp_path, results="my results")
    options = shlex.split(made.edit_options(*CELL))
    told = dict(zip(options[::2], options[1::2], strict=True))
    cell = dict(zip(("model", "method", "protocol", "benchmark", "seed"), CELL, strict=True))
    assert told == {
        "--spec": made.edit_spec(*CELL),
        "--benchmark": str(at(made.layout.benchmark, **cell)),
        "--shards": str(made.shards(cell["benchmark"])),
        "--checkpoints": str(at(made.layout.checkpoints, **cell, shard=7).parent),
    }


def test_only_what_changes_a_result_changes_the_spec(tmp_path: Path) -> None:
    spec = plan(tmp_path).edit_spec(*CELL)
    same = plan(
        tmp_path, threads=2, models={"m": {"resources": {"gpu": 1}}}, statistics={"level": 0.9}, results="elsewhere"
    )
    assert same.edit_spec(*CELL) == spec
    for change in ({"models": {"m": {"dtype": "bfloat16"}}}, {"evaluation": {"max_new_tokens": 3}}):
        assert plan(tmp_path, **change).edit_spec(*CELL) != spec


def test_covariances_only_for_the_line_that_needs_them(tmp_path: Path) -> None:
    assert plan(tmp_path).covariance_files("m", "fast") == [
        str(at(plan(tmp_path).layout.covariances, model="m", layer=3))
    ]
    assert plan(tmp_path).covariance_files("m", "toy") == []


def test_studies_that_share_a_cache_agree_on_what_is_in_it(tmp_path: Path) -> None:
    own = plan(tmp_path)
    # How work is shared out changes neither the model that is prepared nor any number of its covariances.
    other = plan(tmp_path, models={"m": {"streams": 3, "token_budget": 77, "resources": {"gpu": 1}}})
    assert other.model_source("m") == own.model_source("m")
    assert other.model_numbers("m") == own.model_numbers("m")
    half = plan(tmp_path, models={"m": {"dtype": "bfloat16"}})
    assert half.model_source("m") == own.model_source("m")
    assert half.model_numbers("m") != own.model_numbers("m")
    moved = plan(tmp_path, models={"m": {"source": "folder", "path": str(tmp_path)}})
    assert moved.model_source("m") != own.model_source("m")
    # Covariances of other texts lie elsewhere, and neither study's replace the other's.
    assert own.covariance_files("m", "fast") == other.covariance_files("m", "fast")
    assert plan(tmp_path, covariances={"tokens": 99}).covariance_files("m", "fast") != own.covariance_files("m", "fast")


def test_the_grid_lists_every_cell_and_shard_and_survives_json(tmp_path: Path) -> None:
    grid = plan(tmp_path).grid
    assert len(grid.records()) == 2 * 2 * 2
    assert len(grid.edits()) == 2 * (2 + 1) * 2
    assert len(set(grid.edits())) == len(grid.edits())
    assert read_spec(Grid, grid.model_dump_json()) == grid
    assert len(json.dumps(grid.model_dump())) < 1000


def test_methods_are_compared_with_the_first_that_edits_unless_another_is_named(tmp_path: Path) -> None:
    assert plan(tmp_path).grid.statistics.reference == "toy"
    assert plan(tmp_path, statistics={"reference": "fast"}).grid.statistics.reference == "fast"
    assert parse_study({"methods": ["none"]}).reference is None


def test_a_sweep_makes_a_method_of_each_further_value(tmp_path: Path) -> None:
    swept = plan(
        tmp_path,
        methods={
            "toy": {"method": str(tmp_path / "toy.py"), "sweep": {"lr": ["1e-3", 0.1, 2]}},
            "fast": {"method": str(tmp_path / "toy.py"), "settings": {"lr": 1.0}},
        },
    )
    swept.check()
    assert list(swept.methods) == ["toy", "fast", "toy@lr-1e-3", "toy@lr-2"], "0.1 is what the line itself has"
    cell = Cell.from_spec(swept.edit_spec("m", "toy@lr-1e-3", *CELL[2:]))
    assert (Path(cell.method.method).name, cell.method.settings["lr"]) == ("toy.py", 1e-3)
    assert swept.edit_source("toy@lr-2") == swept.edit_source("toy")
    assert swept.covariance_files("m", "toy@lr-2") == []


def test_a_swept_value_that_a_line_has_for_one_model_only_is_run() -> None:
    methods = {"ft_l": {"sweep": {"lr": [0.0005]}}}
    unknown = {"source": "hub", "hub_id": "a/b", "revision": "0" * 40}
    assert list(Plan(parse_study({"models": {"a": unknown}, "methods": methods})).points) == []
    # For the embedded model FT-L has another rate.
    both = {"models": {"a": unknown, "b": {}}, "methods": methods}
    assert list(Plan(parse_study(both)).points) == ["ft_l@lr-0.0005"]


def test_tables_are_made_of_the_lines_and_curves_of_all(tmp_path: Path) -> None:
    grid = plan(tmp_path, methods={"toy": {"method": str(tmp_path / "toy.py"), "sweep": {"lr": [1, 2]}}}).grid
    assert (len(grid.records()), len(grid.curve_records())) == (4, 12)
    assert not any("@" in str(path) for path in [*grid.records(), *grid.edits()])


def test_swept_points_are_run_on_the_benchmarks_chosen_for_curves(tmp_path: Path) -> None:
    chosen = {
        "methods": {"toy": {"method": str(tmp_path / "toy.py"), "sweep": {"lr": [1, 2]}}},
        "curves": {"benchmarks": ["mini_zsre"]},
    }
    grid = plan(tmp_path, **chosen).grid
    swept = set(grid.curve_records()) - set(grid.records())
    # Two points with two seeds, each of two shards.
    assert (len(grid.records()), len(swept), len(grid.shards()) - len(grid.edits())) == (4, 4, 8)
    assert all("@" in str(path) and "benchmark=mini_zsre/" in str(path) for path in swept)
    with pytest.raises(UserError, match=r"curves\.benchmarks has 'x'"):
        plan(tmp_path, **chosen | {"curves": {"benchmarks": ["x"]}})


def test_a_map_has_a_method_for_every_pair_of_layer_and_rank(tmp_path: Path) -> None:
    study: dict[str, Any] = {
        "models": {"smollm2-135m": {}},
        "methods": {"none": None, "wide": {"method": "reft", "settings": {"rank": 4}}},
        "protocols": {"single": {}, "continual": {"length": 2}},
        "sensitivity": {"method": "wide", "layer": [10, 25], "rank": [4, 8], "protocol": "continual"},
    }
    made = Plan(parse_study(study))
    made.check()
    # With layer 25 and rank 4 it is the line, which is not run twice.
    assert list(made.lattice) == ["wide@layer-10@rank-4", "wide@layer-10@rank-8", "wide", "wide@layer-25@rank-8"]
    chart = made.sensitivity
    assert chart is not None
    assert len(chart.records()) == len(chart.shards()) == 4
    assert all("protocol=continual" in str(path) for path in chart.records())
    assert len(made.grid.records()) == len(made.grid.curve_records()) == 3 * 2
    assert len(made.edit_jobs()) == len(made.summaries()) == 3 * 2 + 3
    files = made.result_files()
    assert len(files) == len(set(files)) and set(chart.records()) <= set(files)
    cell = ("smollm2-135m", "wide@layer-10@rank-8", "single", "mini_wiki_recent", "0")
    settings = Cell.from_spec(made.edit_spec(*cell)).method.settings
    assert (settings["layer"], settings["rank"]) == (10, 8)
    sensitivity = {**study["sensitivity"], "benchmarks": ["mini_zsre"]}
    two = {**study, "benchmarks": {"mini_wiki_recent": {}, "mini_zsre": {}}, "sensitivity": sensitivity}
    few = Plan(parse_study(two)).sensitivity
    assert few is not None and len(few.records()) == 4
    assert all("benchmark=mini_zsre/" in str(path) for path in few.records())
    assert Plan(parse_study({"methods": ["reft"]})).sensitivity is None


def test_a_map_on_a_benchmark_that_its_protocol_is_not_run_on_is_told() -> None:
    study = {
        "benchmarks": {"mini_wiki_recent": {}, "mini_zsre": {}},
        "methods": ["reft"],
        "protocols": {"single": {"benchmarks": ["mini_zsre"]}},
        "sensitivity": {"method": "reft", "layer": [1], "rank": [1], "benchmarks": ["mini_wiki_recent"]},
    }
    with pytest.raises(UserError, match="'mini_wiki_recent', but single editing is run on mini_zsre only"):
        parse_study(study)


@pytest.mark.parametrize(
    ("sensitivity", "message"),
    [
        ({"method": "baft", "layer": [1], "rank": [1]}, "sensitivity.method is 'baft', but must be one of none"),
        ({"method": "reft", "layer": [1], "rank": [1], "protocol": "x"}, "must be one of single"),
        ({"method": "lora", "layer": [1], "rank": [1]}, "'lora' has no layer"),
        ({"method": "reft", "layer": [1], "rank": [0]}, "sensitivity.rank"),
        ({"method": "reft", "layer": [1], "rank": [1], "benchmarks": ["x"]}, "sensitivity.benchmarks has 'x'"),
        ({"method": "reft", "layer": [1, 1], "rank": [1]}, "1 is in the list twice"),
        ({"method": "reft", "layer": [], "rank": [1]}, "needs the key layer"),
    ],
)
def test_a_map_that_cannot_be_is_told(sensitivity: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Plan(parse_study({"methods": ["none", "reft", "lora"], "sensitivity": sensitivity})).check()


ABLATED: dict[str, Any] = {
    "models": {"smollm2-135m": {}},
    "benchmarks": {"mini_wiki_recent": {}, "mini_zsre": {}},
    "methods": {"none": None, "reft": {"sweep": {"rank": [8]}}},
    "protocols": {"single": {}, "long": {"length": 2, "benchmarks": ["mini_zsre"]}},
}


def ablated(**ablations: object) -> Plan:
    made = Plan(parse_study({**ABLATED, "ablations": ablations}))
    made.check()
    return made


def test_variants_are_run_where_they_are_wanted_and_stand_in_no_other_table() -> None:
    variants = {"narrow": {"rank": 2}, "late": {"layer": 28, "rank": 2}}
    made = ablated(method="reft", variants=variants, benchmarks=["mini_zsre"])
    assert list(made.variants) == ["reft@narrow", "reft@late"]
    table = made.ablations
    assert table is not None and table.methods == ("reft", "reft@narrow", "reft@late")
    assert len(table.records()) == 3 * 2 and all("benchmark=mini_zsre/" in str(path) for path in table.records())
    assert not any("@narrow" in str(path) for path in made.grid.curve_records())
    assert set(table.records()) <= set(made.summaries()) and len(made.summaries()) == 4 * 3 + 2 * 2
    cell = ("smollm2-135m", "reft@late", "long", "mini_zsre", "0")
    settings = Cell.from_spec(made.edit_spec(*cell)).method.settings
    assert (settings["layer"], settings["rank"]) == (28, 2)
    single = ablated(method="reft", variants=variants, protocols=["single"]).ablations
    assert single is not None and list(single.protocols) == ["single"] and len(single.records()) == 3 * 2
    assert Plan(parse_study({"methods": ["reft"]})).ablations is None


@pytest.mark.parametrize(
    ("ablations", "message"),
    [
        ({"variants": {"a": {"rank": 2}}}, "ablations need the key method"),
        ({"method": "reft"}, "ablations need the key variants"),
        (
            {"method": "baft", "variants": {"a": {"rank": 2}}},
            r"ablations\.method is 'baft', but must be one of none, reft",
        ),
        ({"method": "reft", "variants": {"a": {}}}, r"ablations\.variants\.a"),
        ({"method": "reft", "variants": {"a": {"rnk": 2}}}, r"'rnk' is not a known setting in ablations\.variants\.a"),
        ({"method": "reft", "variants": {"a": {"rank": -2}}}, r"ablations\.variants\.a\.rank is -2"),
        ({"method": "reft", "variants": {"a@b": {"rank": 2}}}, "a@b"),
        ({"method": "reft", "variants": {"a": {"rank": 12}}}, "has the settings that 'reft' has anyway"),
        ({"method": "reft", "variants": {"rank-8": {"rank": 9}}}, "the label of another point, 'reft@rank-8'"),
        (
            {"method": "reft", "variants": {"a": {"rank": 2}}, "protocols": ["x"]},
            r"protocols is 'x', but must be one of",
        ),
        (
            {
                "method": "reft",
                "variants": {"a": {"rank": 2}},
                "protocols": ["long"],
                "benchmarks": ["mini_wiki_recent"],
            },
            "'mini_wiki_recent', but long editing is run on mini_zsre only",
        ),
    ],
)
def test_ablations_that_cannot_be_are_told(ablations: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ablated(**ablations)


def test_the_layout_is_that_of_the_result_files() -> None:
    layout = Layout("results", "cache")
    values = dict(zip(PARTITIONS, ("m", "baft", "single", "b", 0, 3), strict=True))
    assert at(layout.probes, **values) == partition_path("results/probes", **values)
    assert at(layout.edits, **values) == partition_path("results/edits", **values)
    del values["shard"]
    assert at(layout.record, **values) == partition_path("results/records", **values)
    assert at(layout.base, **values) == partition_path("results/base", model="m", benchmark="b")


def analysed(**config: object) -> Plan:
    return Plan(parse_study({"models": {"smollm2-135m": {}}, **config}))


def analyses(**config: object) -> list[str]:
    return [figure.name for figure in analysed(**config).figures if figure.cells == "bases"]


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
    spec = read_spec(AnalysisSpec, plan.analysis_spec("smollm2-135m"))
    assert (spec.records, spec.seed) == (5, 3)
    baft, reft = sorted(spec.methods, key=lambda method: method.method)
    assert (baft.label, baft.settings["rank"], baft.settings["lr"]) == ("baft", 7, 0.5)
    assert (reft.label, reft.settings["rank"], reft.settings["layer"]) == ("mine", 7, 3)
    moved = analysed(methods=methods, analysis={"layer": 0.5}).analysis_spec("smollm2-135m")
    assert all(method.settings["layer"] == 0.5 for method in read_spec(AnalysisSpec, moved).methods)


def test_the_record_of_the_picture_reaches_its_command_alone() -> None:
    plan = analysed(methods=["baft"], analysis={"picture": "r 5"})
    told = {one.name: grid.settings for one, grid in plan.products.items() if grid.settings}
    assert told == {"method_picture": {"analysis.picture": "r 5"}}


def test_the_layout_of_the_analysis_is_that_of_the_result_files() -> None:
    grid = analysed(methods=["baft"], benchmarks={"mini_zsre": {}, "mini_wikibio": {}}).grid
    model = {"model": "smollm2-135m"}
    assert grid.bases() == [
        partition_path("results/bases", **model, benchmark=b) for b in ("mini_zsre", "mini_wikibio")
    ]


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
    cells = {(path.parts[4], path.parts[5]) for path in plan.grid.records()}
    assert cells == {
        ("protocol=single", "benchmark=mini_zsre"),
        ("protocol=single", "benchmark=mini_wikibio"),
        ("protocol=long", "benchmark=mini_wikibio"),
    }
    assert plan.sequences is not None and len(plan.sequences.records()) == 3
    assert [path.parts[-2] for path in plan.grid.bases()] == ["benchmark=mini_zsre"]


def test_files_of_a_shard_are_asked_for_once_they_are_gone(tmp_path: Path) -> None:
    study = {
        "results": str(tmp_path),
        "methods": ["reft"],
        "zero_edit": False,
        "benchmarks": {"mini_zsre": {"shards": 2}},
    }
    made = Plan(parse_study(study))
    layout, jobs = made.layout, made.edit_jobs()
    every = {at(pattern, **job) for job in jobs for pattern in (layout.probes, layout.edits)}
    few = set(made.result_files()) - every
    # Before there is a summary, its own inputs ask for the edits, with which the probes come.
    assert set(made.asked_files()) == few
    (summary,) = made.summaries()
    alone, lost = (at(pattern, **jobs[0]) for pattern in (layout.edits, layout.probes))
    alone.parent.mkdir(parents=True)
    alone.touch()
    assert set(made.asked_files()) == few | {lost}
    gone = at(layout.edits, **jobs[1])
    for file in (summary, *every - {gone}):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert set(made.asked_files()) == few | {gone}
    gone.parent.mkdir(parents=True)
    gone.touch()
    assert set(made.asked_files()) == few
    assert not made.uses_covariances


def test_a_method_that_needs_covariances_is_noticed() -> None:
    assert Plan(parse_study({"methods": ["reft", "rome"]})).uses_covariances


def test_every_study_has_an_edit_of_zeros_after_the_unedited_model_unless_it_is_switched_off(tmp_path: Path) -> None:
    made = plan(tmp_path, methods=["reft", "none"], zero_edit=True)
    assert made.grid.methods == ("none", "zero", "reft")
    assert Cell.from_spec(made.edit_spec("m", "zero", "single", "mini_zsre", "0")).method.method == "zero"
    assert {job["method"] for job in made.edit_jobs()} == {"none", "zero", "reft"}
    assert made.grid.statistics.reference == "reft", "compared with none"
    assert plan(tmp_path, methods=["none", "zero", "reft"], zero_edit=True).grid.methods == ("none", "zero", "reft")
    named = plan(tmp_path, methods={"floor": {"method": "zero"}, "reft": None}, zero_edit=True)
    assert named.grid.methods == ("floor", "reft")
    assert named.grid.statistics.reference == "reft"
    assert plan(tmp_path, methods=["none", "reft"]).grid.methods == ("none", "reft")
    assert parse_study({}).lines.keys() == {"none", "zero", "baft"}


def test_the_label_of_the_edit_of_zeros_is_its_own(tmp_path: Path) -> None:
    methods = {"zero": {"method": "reft"}}
    with pytest.raises(UserError, match="'zero' is the label of the edit of zeros"):
        plan(tmp_path, methods=methods, zero_edit=True)
    assert plan(tmp_path, methods=methods).grid.methods == ("zero",)


def test_kept_edits_are_files_of_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = {
        "methods": ["none"],
        "zero_edit": False,
        "benchmarks": {"mini_zsre": {"shards": 2}},
        "analysis": {"records": 0},
    }

    def plan(keep: object) -> Plan:
        return Plan(parse_study({**study, "keep_edits": keep}))

    assert plan(False).kept is plan([]).kept is None
    whole, one, same, other = (plan(keep) for keep in (True, [1, "r2"], ["r2", "1", 1], ["r2"]))
    assert one.study.keep_edits == ("1", "r2")
    assert one.kept == same.kept and len({whole.kept, one.kept, other.kept}) == 3
    # Which edits are kept changes nothing of what the jobs are told.
    cell = ("smollm2-135m", "none", "single", "mini_zsre", "0")
    assert len({made.edit_options(*cell) for made in (plan(False), whole, one)}) == 1
    job = whole.edit_jobs()[0]
    probes, edits, kept = (at(pattern, **job) for pattern in (whole.layout.probes, whole.layout.edits, str(whole.kept)))
    assert kept in whole.result_files() and kept not in plan(False).result_files()
    for path in (probes, edits):
        path.parent.mkdir(parents=True)
        path.touch()
    assert kept in whole.asked_files(), "edits that were made without being kept are made again"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert kept not in whole.asked_files()
    assert at(str(one.kept), **job) in one.asked_files()
    assert not [path for path in plan(False).asked_files() if "kept_edits" in path.parts]


TUNED = {
    "models": {"smollm2-135m": {}},
    "benchmarks": {"mini_zsre": None, "mini_wikibio": None},
    "methods": {
        "none": None,
        "rome": {"settings": {"steps": 20}},
        "narrow": {"method": "lora", "settings": {"rank": 2}},
    },
    "protocols": {"single": {}, "long": {"length": 4, "benchmarks": ["mini_zsre"]}},
}


def tuned(**tuning: object) -> Plan:
    made = Plan(parse_study(TUNED | {"tuning": {"trials": 3, **tuning}}))
    made.check()
    return made


def test_a_study_without_tuning_has_no_job_of_it() -> None:
    made = Plan(parse_study(TUNED))
    assert made.tuned == made.tuning_cells == ()
    assert made.tuning is None
    assert "tune_method" not in made.job_counts
    assert not any("tuning" in str(path) for path in made.result_files())


def test_every_method_is_tuned_on_the_same_and_what_the_study_gives_stays() -> None:
    made = tuned(records=7, seed=4)
    assert made.tuned == ("rome", "narrow")
    assert made.job_counts["tune_method"] == 2
    assert [str(path) for path in made.result_files() if "tuning" in str(path)] == [
        f"results/tuning/model=smollm2-135m/method={label}/part.parquet" for label in made.tuned
    ]
    specs = [read_spec(TuningSpec, made.tuning_spec("smollm2-135m", label)) for label in made.tuned]
    for spec in specs:
        assert (spec.trials, spec.records, spec.seed) == (3, 7, 4)
        assert spec.cells == (("single", "mini_zsre"), ("single", "mini_wikibio"))
    assert [spec.fixed for spec in specs] == [("steps",), ("rank",)]
    assert [spec.method.settings[name] for spec, name in zip(specs, ("steps", "rank"), strict=True)] == [20, 2]
    long = tuned(protocols=["long"], methods=["narrow"])
    assert long.tuned == ("narrow",)
    assert long.tuning_cells == (("long", "mini_zsre"),)


def test_a_search_reads_the_covariances_of_every_block_that_it_may_try() -> None:
    made = tuned()
    files = made.tuning_covariances("smollm2-135m", "rome")
    assert files[0] == str(at(made.layout.covariances, model="smollm2-135m", layer=5))
    assert len(files) == len(set(files)) > 3
    assert made.tuning_covariances("smollm2-135m", "narrow") == []
    assert made.job_counts["collect_covariances"] == len(files)
    layers = {"methods": {"rome": {"settings": {"layer": 9}}}, "tuning": {"trials": 1}}
    own = Plan(parse_study(TUNED | layers)).tuning_covariances("smollm2-135m", "rome")
    assert own == [str(at(made.layout.covariances, model="smollm2-135m", layer=9))]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tuning": {"trials": 1, "methods": ["none"]}}, "'none' declares no ranges"),
        (
            {"tuning": {"trials": 1, "methods": ["reft"]}},
            "tuning.methods is 'reft', but must be one of none, rome, narrow",
        ),
        ({"tuning": {"trials": 1, "benchmarks": ["mini"]}}, "tuning.benchmarks is 'mini', but must be one of"),
        ({"tuning": {"trials": 1, "protocols": ["long"], "benchmarks": ["mini_wikibio"]}}, "run on mini_zsre only"),
        ({"tuning": {"records": 3}}, "tuning needs the key trials"),
        ({"tuning": {"trials": 1, "steps": 3}}, "'steps' is not a known key in tuning"),
        ({"tuning": {"trials": 1}, "methods": ["none"]}, "no method of the study declares ranges"),
        (
            {
                "tuning": {"trials": 1, "methods": ["in_context"]},
                "methods": {"in_context": {"settings": {"layer": 3, "similarity": 0.5}}},
            },
            "gives all that could be searched",
        ),
        (
            {"tuning": {"trials": 1}, "benchmarks": {"mini_zsre": {"split": "test"}}, "protocols": {"single": {}}},
            "'mini_zsre', whose split is 'test': nothing is chosen on test data",
        ),
    ],
)
def test_tuning_that_cannot_be_is_refused_in_one_sentence(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Plan(parse_study(TUNED | changes)).check()


def test_test_data_beside_tuning_are_allowed() -> None:
    made = Plan(
        parse_study(
            TUNED
            | {
                "benchmarks": {"mini_zsre": {"split": "test"}, "mini_wikibio": {}},
                "tuning": {"trials": 1, "benchmarks": ["mini_wikibio"]},
            }
        )
    )
    made.check()
    assert made.tuning_cells == (("single", "mini_wikibio"),)
