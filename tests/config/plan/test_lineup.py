"""The methods as they are run."""

from pathlib import Path

import pytest

from baft.config import Cell, Plan, parse_study
from baft.errors import UserError
from tests.config.plan.studies import CELL, plan


def test_a_sweep_makes_a_method_of_each_further_value(tmp_path: Path) -> None:
    swept = plan(
        tmp_path,
        methods={
            "toy": {"method": str(tmp_path / "toy.py"), "sweep": {"lr": ["1e-3", 0.1, 2]}},
            "fast": {"method": str(tmp_path / "toy.py"), "settings": {"lr": 1.0}},
        },
    )
    swept.check()
    assert list(swept.lineup.methods) == ["toy", "fast", "toy@lr-1e-3", "toy@lr-2"], "0.1 is what the line itself has"
    cell = Cell.from_spec(swept.edits.spec("m", "toy@lr-1e-3", *CELL[2:]))
    assert (Path(cell.method.method).name, cell.method.settings["lr"]) == ("toy.py", 1e-3)
    assert swept.edits.source("toy@lr-2") == swept.edits.source("toy")
    assert swept.edits.covariances("m", "toy@lr-2") == []


def test_a_swept_value_that_a_line_has_for_one_model_only_is_run() -> None:
    methods = {"ft_l": {"sweep": {"lr": [0.0005]}}}
    unknown = {"source": "hub", "hub_id": "a/b", "revision": "0" * 40}
    assert list(Plan(parse_study({"models": {"a": unknown}, "methods": methods})).lineup.points) == []
    # For the embedded model FT-L has another rate.
    both = {"models": {"a": unknown, "b": {}}, "methods": methods}
    assert list(Plan(parse_study(both)).lineup.points) == ["ft_l@lr-0.0005"]


def test_every_study_has_an_edit_of_zeros_after_the_unedited_model_unless_it_is_switched_off(tmp_path: Path) -> None:
    made = plan(tmp_path, methods=["reft", "none"], zero_edit=True)
    assert made.grids.all.methods == ("none", "zero", "reft")
    assert Cell.from_spec(made.edits.spec("m", "zero", "single", "mini_zsre", "0")).method.method == "zero"
    assert {job["method"] for job in made.grids.edit_jobs()} == {"none", "zero", "reft"}
    assert made.grids.all.statistics.reference == "reft", "compared with none"
    assert plan(tmp_path, methods=["none", "zero", "reft"], zero_edit=True).grids.all.methods == (
        "none",
        "zero",
        "reft",
    )
    named = plan(tmp_path, methods={"floor": {"method": "zero"}, "reft": None}, zero_edit=True)
    assert named.grids.all.methods == ("floor", "reft")
    assert named.grids.all.statistics.reference == "reft"
    assert plan(tmp_path, methods=["none", "reft"]).grids.all.methods == ("none", "reft")
    assert parse_study({}).lines.keys() == {"none", "zero", "baft"}


def test_the_label_of_the_edit_of_zeros_is_its_own(tmp_path: Path) -> None:
    methods = {"zero": {"method": "reft"}}
    with pytest.raises(UserError, match="'zero' is the label of the edit of zeros"):
        plan(tmp_path, methods=methods, zero_edit=True)
    assert plan(tmp_path, methods=methods).grids.all.methods == ("zero",)
