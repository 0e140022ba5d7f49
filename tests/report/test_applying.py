"""Taking over what a search found."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from baft.config import Plan, methods, parse_study
from baft.errors import UserError
from baft.report.applying import apply, with_section
from tests.report.searches import write_search

SMALL = "smollm2-135m"
LAYERS = [{"layer": n, "lr": 0.001} for n in range(3)]


def plan(tmp_path: Path, **changes: object) -> Plan:
    study = {
        "study": "found",
        "results": str(tmp_path / "results"),
        "methods": {"reft": {"settings": {"rank": 3}}},
        "tuning": {"trials": 3, "records": 6},
    }
    return Plan(parse_study(study | changes))


def trials(tmp_path: Path, label: str, method: str, *objectives: float | None) -> None:
    path = tmp_path / f"results/tuning/model={SMALL}/method={label}/part.parquet"
    write_search(path, method, objectives, LAYERS[: len(objectives)], trials=3)


def test_the_best_trial_becomes_the_models_section_with_what_chose_it(tmp_path: Path, own_settings: Path) -> None:
    (own_settings / "reft.yaml").write_text(f"# Chosen by eye.\n{SMALL}: {{layer: 25}}\n")
    trials(tmp_path, "reft", "reft", 0.2, 0.5, 0.4)
    before = plan(tmp_path).searches.spec(SMALL, "reft")
    (said,) = apply(plan(tmp_path), [], own_settings)
    assert said.endswith("trial 1 of 3, layer 1, rank 3, lr 0.001")
    methods._sections_of.cache_clear()
    assert methods.sections_of("reft") == {SMALL: {"layer": 1, "rank": 3, "lr": 0.001}}
    tuned = methods.tuned_of("reft", SMALL)
    assert (tuned.study, tuned.trials, tuned.benchmarks, tuned.records) == ("found", 3, ("mini_wiki_recent",), 6)
    assert tuned.hash == "0123456789ab"
    assert tuned.before == {"layer": 25}
    assert (own_settings / "reft.yaml").read_text().startswith("# Chosen by eye.\n")
    # Taking it over is no reason to search again, and taking it over again changes nothing.
    assert plan(tmp_path).searches.spec(SMALL, "reft") == before
    text = (own_settings / "reft.yaml").read_text()
    list(apply(plan(tmp_path), ["reft"], own_settings))
    assert (own_settings / "reft.yaml").read_text() == text


def test_a_method_without_a_file_gets_one_and_a_start_that_is_the_best_says_so(
    tmp_path: Path, own_settings: Path
) -> None:
    own = {"lr": methods.method_settings("lora").lr, "rank": methods.method_settings("lora").rank}
    path = tmp_path / f"results/tuning/model={SMALL}/method=lora/part.parquet"
    write_search(path, "lora", [0.5], [own], trials=3)
    (said,) = apply(plan(tmp_path, methods=["lora"]), [], own_settings)
    assert said.endswith("trial 0 of 3, the defaults")
    assert yaml.safe_load((own_settings / "lora.yaml").read_text())[SMALL].keys() == {"tuned"}


@pytest.mark.parametrize(
    ("changes", "labels", "message"),
    [
        ({}, ["lora"], "does not tune 'lora'; it tunes reft"),
        ({"tuning": {}}, [], "tunes no method"),
        ({"methods": ["reft", "lora"]}, [], "lora on smollm2-135m has not finished"),
        ({"tuning": {"trials": 4}}, [], "has 3 trials, not 4"),
        ({"methods": ["wise"]}, [], "Every trial of wise on smollm2-135m failed"),
        ({"methods": {"reft": None, "other": {"method": "reft"}}}, [], "reft was tuned more than once"),
        (
            {"models": {SMALL: {"source": "hub", "hub_id": "a/b", "revision": "0" * 40}}},
            [],
            "smollm2-135m is not in config/known_models.yaml",
        ),
    ],
)
def test_what_cannot_be_taken_over_is_refused_before_anything_is_written(
    tmp_path: Path, own_settings: Path, changes: dict, labels: list[str], message: str
) -> None:
    trials(tmp_path, "reft", "reft", 0.2, 0.5, 0.4)
    trials(tmp_path, "other", "reft", 0.2, 0.5, 0.4)
    trials(tmp_path, "wise", "wise", None, None)
    with pytest.raises(UserError, match=message):
        list(apply(plan(tmp_path, **changes), labels, own_settings))
    assert not list(own_settings.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# Said.\na: {x: 1}\n",
        "a: {x: 1,\n  y: 2}\n",
        "a:\n  x: 1\n\n  z:\n    - 1\n# Of b.\nb: {y: 2}\n",
        "b: {y: 2}\n# Of a.\na: {x: 1}",
    ],
)
def test_only_the_section_changes(text: str) -> None:
    new = with_section(text, "a", {"x": 3, "list": [1, 2]})
    assert yaml.safe_load(new) == {**(yaml.safe_load(text) or {}), "a": {"x": 3, "list": [1, 2]}}
    assert [line for line in text.splitlines() if line.startswith(("#", "b"))] == [
        line for line in new.splitlines() if line.startswith(("#", "b"))
    ]


def test_a_list_that_stays_as_it_was_is_written_out_twice() -> None:
    layers = [25, 26]
    text = with_section("", "m", {"layers": layers, "tuned": {"before": {"layers": layers}}})
    assert text.count("layers: [25, 26]") == 2 and not {"&", "*"} & set(text)
