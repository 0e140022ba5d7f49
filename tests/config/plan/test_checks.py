"""Studies that cannot be are refused in one sentence."""

import pytest

from baft.config import Plan, parse_study
from baft.errors import UserError
from tests.config.plan.studies import TUNED, ablated


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
        ({"method": "reft", "variants": {"a": {"tolerance": 0.05}}}, "has the settings that 'reft' has anyway"),
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


@pytest.mark.parametrize(
    ("key", "given"), [("tuning", {"trials": 1}), ("ablations", {"method": "rome", "variants": {"a": {"steps": 3}}})]
)
def test_a_named_protocol_that_no_benchmark_is_left_for_is_told(key: str, given: dict) -> None:
    protocols = {"a": {"benchmarks": ["mini_zsre"]}, "b": {"benchmarks": ["mini_wikibio"]}}
    study = TUNED | {"protocols": protocols}
    message = rf"{key}\.protocols has 'b', which is run on mini_wikibio only, and {key}\.benchmarks has none of these"
    with pytest.raises(UserError, match=message):
        parse_study(study | {key: {**given, "protocols": ["a", "b"], "benchmarks": ["mini_zsre"]}})
    parse_study(study | {key: {**given, "protocols": ["a"], "benchmarks": ["mini_zsre"]}})
    parse_study(study | {key: {**given, "protocols": ["a", "b"]}})


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
    assert made.searches.cells == (("single", "mini_wikibio"),)
