from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from baft.config import Cell, Plan, parse_study
from baft.report.outdated import outdated
from baft.results import store
from baft.results.schema import RECORDS
from tests.config.toy import write_toy
from tests.results.synthetic import origin

EDITOR = "def edit(model, tokenizer, requests, steps):\n    return model\n"


def study(folder: Path, **changes: Any) -> Plan:
    """A study with a swept method, a user's own, and somebody else's editor."""
    (folder / "editor.py").write_text(EDITOR)
    editor = {"editor": str(folder / "editor.py"), "arguments": {"steps": 3}}
    config = {
        "results": str(folder / "results"),
        "models": {"m": {}},
        "benchmarks": {"b": {"source": "file", "path": "b.csv", "sha256": "0" * 64, "limit": 8}},
        "methods": {
            "baft": {"sweep": {"rank": [3, 5]}},
            "toy": {"method": write_toy(folder), "settings": {"lr": 1.0}},
            "foreign": {"settings": editor},
        },
        "protocols": {"single": {"length": 4, "at": [2]}},
    }
    return Plan(parse_study(config | changes))


def write(plan: Plan, records: int = 8, **changes: Any) -> None:
    """Summaries of all cells of a study, as its jobs write them, with ``changes`` of their conditions."""
    for path, cell in plan.edits.cells().items():
        method = {"name": cell.method.method, **cell.method.settings, "files": {"editor.py": "f00d"}}
        protocol = {"label": cell.protocol_label, **cell.protocol.model_dump(mode="json", exclude={"benchmarks"})}
        said = origin(method=method, protocol=protocol, evaluation=cell.evaluation.model_dump(mode="json"), **changes)
        store.write_rows([], RECORDS, path, said | {"counts": {"records": records, "failed": 0}})


def test_a_template_that_was_told_another_day_is_outdated(tmp_path: Path) -> None:
    write(study(tmp_path), template_date="2020-02-20")
    assert "template_date '2020-02-20' instead of" in found(study(tmp_path))["baft"]


def found(plan: Plan) -> dict[str, str]:
    """What is said, by the label of the method."""
    benchmarks = plan.study.model_dump(mode="json")["benchmarks"]
    cells = plan.edits.cells()
    return {cells[path].method.label: said for path, said in outdated(cells, benchmarks).items()}


def test_what_was_run_as_the_study_says_is_not_outdated(tmp_path: Path) -> None:
    write(study(tmp_path))
    assert found(study(tmp_path)) == {}
    # What no result depends on, and what only fewer records could contradict.
    assert found(study(tmp_path, statistics={"level": 0.9})) == {}
    more = {"source": "file", "path": "b.csv", "limit": 30}
    assert found(study(tmp_path, benchmarks={"b": more})) == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"evaluation": {"max_new_tokens": 3}}, "max_new_tokens 12 instead of 3"),
        ({"protocols": {"single": {"length": 5, "at": [2]}}}, "length 4 instead of 5"),
        ({"models": {"m": {"dtype": "bfloat16"}}}, "dtype 'float32' instead of 'bfloat16'"),
        ({"models": {"m": {"prompt_format": "chat"}}}, "prompt_format 'plain' instead of 'chat'"),
        ({"benchmarks": {"b": {"source": "file", "path": "b.csv", "limit": 7}}}, "8 records instead of at most 7"),
        ({"benchmarks": {"b": {"source": "file", "path": "b.csv", "split": "test"}}}, "split 'tune' instead of 'test'"),
        ({"benchmarks": {"b": {"source": "file", "path": "b.csv", "sha256": "1" * 64}}}, "instead of '1"),
    ],
)
def test_a_change_that_concerns_all_cells_is_said_of_each(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    write(study(tmp_path))
    other = found(study(tmp_path, **change))
    assert set(other) == {"baft", "baft@rank-3", "baft@rank-5", "toy", "foreign", "zero"}
    assert all(said in one and ";" not in one for one in other.values())


def test_other_settings_are_said_of_their_method(tmp_path: Path) -> None:
    write(study(tmp_path))
    editor = {"editor": str(tmp_path / "editor.py"), "arguments": {"steps": 4}}
    methods = {
        "baft": {"sweep": {"rank": [3, 5]}},
        "toy": {"method": str(tmp_path / "toy.py"), "settings": {"lr": 2}},
        "foreign": {"settings": editor},
    }
    assert found(study(tmp_path, methods=methods)) == {
        "toy": "lr 1.0 instead of 2.0",
        "foreign": "arguments {'steps': 3} instead of {'steps': 4}",
    }


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"attention": "eager"}, "attention '' instead of 'eager'"),
        ({"modules": {"bos": True}}, "bos False instead of True"),
    ],
)
def test_how_a_model_is_run_is_compared_where_a_file_says_it(model: dict[str, Any], said: str, tmp_path: Path) -> None:
    write(study(tmp_path), bos=False, attention="")
    assert found(study(tmp_path)) == {}
    assert set(found(study(tmp_path, models={"m": model})).values()) == {said}
    write(study(tmp_path))
    assert found(study(tmp_path, models={"m": model})) == {}


def cell(plan: Plan, label: str) -> tuple[Path, Cell]:
    return next((path, cell) for path, cell in plan.edits.cells().items() if cell.method.label == label)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        # A file that is older than a setting, and numbers as JSON may have them.
        ({"lr": 1}, ""),
        ({"lr": 1.0, "layer": 4}, "layer 4 instead of 3"),
        ({"lr": 1.0, "clamp": 2}, "clamp 2, which the study does not have"),
    ],
)
def test_a_setting_that_a_file_lacks_is_at_its_default(own: dict[str, Any], said: str, tmp_path: Path) -> None:
    plan = study(tmp_path)
    path, told = cell(plan, "toy")
    method = json.loads(json.dumps({"name": told.method.method, **own}))
    protocol = {"label": "single", "length": 4, "size": 1, "at": [2]}
    conditions = origin(method=method, protocol=protocol, evaluation={"max_new_tokens": 12})
    store.write_rows([], RECORDS, path, conditions | {"counts": {"records": 8, "failed": 0}})
    benchmarks = plan.study.model_dump(mode="json")["benchmarks"]
    assert outdated({path: told}, benchmarks).get(path, "") == said
