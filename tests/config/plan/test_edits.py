"""What an edit job is told, reads and keeps."""

import shlex
from pathlib import Path

import pytest

from baft.config import Cell, Plan, parse_study
from baft.config.layout import at
from tests.config.plan.studies import CELL, plan


def test_a_job_is_told_its_merged_settings_and_reads_them_back(tmp_path: Path) -> None:
    spec = plan(tmp_path).edits.spec(*CELL)
    cell = Cell.from_spec(spec)
    assert (cell.method.label, cell.method.method) == ("fast", str(tmp_path / "toy.py"))
    assert cell.method.settings == {"lr": 1.0, "covariance": True, "layer": 3}
    assert cell.seed == 1
    assert cell.spec() == spec


def test_the_jobs_of_a_cell_share_what_their_command_is_given(tmp_path: Path) -> None:
    made = plan(tmp_path, results="my results")
    options = shlex.split(made.edits.options(*CELL))
    told = dict(zip(options[::2], options[1::2], strict=True))
    cell = dict(zip(("model", "method", "protocol", "benchmark", "seed"), CELL, strict=True))
    assert told == {
        "--spec": made.edits.spec(*CELL),
        "--benchmark": str(at(made.layout.benchmark, **cell)),
        "--shards": str(made.benchmarks.shards(cell["benchmark"])),
        "--checkpoints": str(at(made.layout.checkpoints, **cell, shard=7).parent),
    }


def test_only_what_changes_a_result_changes_the_spec(tmp_path: Path) -> None:
    spec = plan(tmp_path).edits.spec(*CELL)
    same = plan(
        tmp_path, threads=2, models={"m": {"resources": {"gpu": 1}}}, statistics={"level": 0.9}, results="elsewhere"
    )
    assert same.edits.spec(*CELL) == spec
    for change in ({"models": {"m": {"dtype": "bfloat16"}}}, {"evaluation": {"max_new_tokens": 3}}):
        assert plan(tmp_path, **change).edits.spec(*CELL) != spec


def test_covariances_only_for_the_line_that_needs_them(tmp_path: Path) -> None:
    assert plan(tmp_path).edits.covariances("m", "fast") == [
        str(at(plan(tmp_path).layout.covariances, model="m", layer=3))
    ]
    assert plan(tmp_path).edits.covariances("m", "toy") == []


def test_a_method_that_needs_covariances_is_noticed() -> None:
    assert Plan(parse_study({"methods": ["reft", "rome"]})).edits.use_covariances


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

    assert plan(False).edits.kept is plan([]).edits.kept is None
    whole, one, same, other = (plan(keep) for keep in (True, [1, "r2"], ["r2", "1", 1], ["r2"]))
    assert one.study.keep_edits == ("1", "r2")
    assert one.edits.kept == same.edits.kept and len({whole.edits.kept, one.edits.kept, other.edits.kept}) == 3
    # Which edits are kept changes nothing of what the jobs are told.
    cell = ("smollm2-135m", "none", "single", "mini_zsre", "0")
    assert len({made.edits.options(*cell) for made in (plan(False), whole, one)}) == 1
    job = whole.grids.edit_jobs()[0]
    probes, edits, kept = (
        at(pattern, **job) for pattern in (whole.layout.probes, whole.layout.edits, str(whole.edits.kept))
    )
    assert kept in whole.outputs.all() and kept not in plan(False).outputs.all()
    for path in (probes, edits):
        path.parent.mkdir(parents=True)
        path.touch()
    assert kept in whole.outputs.asked(), "edits that were made without being kept are made again"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert kept not in whole.outputs.asked()
    assert at(str(one.edits.kept), **job) in one.outputs.asked()
    assert not [path for path in plan(False).outputs.asked() if "kept_edits" in path.parts]
