"""Requests and prompts given in Python: converted where the meaning is clear, else one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import baft
from baft.edited import EditedModel
from baft.errors import UserError
from baft.methods.base import Request
from baft.requests import read_prompts, read_requests
from tests.engine.tiny import engine

ROME = {"prompt": "The capital of France is", "target": "Rome", "subject": "France"}
BERN = {"prompt": "The capital of Spain is", "target": "Bern", "subject": "Spain"}
READ = [Request("0", *ROME.values()), Request("1", *BERN.values())]


@pytest.mark.parametrize(
    "given",
    [
        [ROME, BERN],
        (ROME, BERN),
        iter([ROME, BERN]),
        pd.DataFrame([ROME, BERN]),
        pd.DataFrame([ROME, BERN]).iloc,
        list(pd.DataFrame([ROME, BERN]).itertuples()),
        [row for _, row in pd.DataFrame([ROME, BERN], index=["x", "y"]).iterrows()],
        pd.Series([ROME, BERN]),
        [READ[0], BERN],
    ],
    ids=["list", "tuple", "generator", "frame", "iloc", "tuples", "rows", "series", "mixed"],
)
def test_requests_in_every_container(given: Any) -> None:
    assert read_requests([given[0], given[1]] if type(given).__name__ == "_iLocIndexer" else given) == READ


@pytest.mark.parametrize("one", [ROME, READ[0], pd.Series(ROME), pd.DataFrame([ROME])])
def test_one_request_needs_no_list(one: Any) -> None:
    assert read_requests(one) == READ[:1]


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (5, "5"), (5.0, "5.0"), (np.int64(5), "5"), (np.float32(0.1), "0.1"), (np.float64(2.5), "2.5"),
        (np.str_("Rome"), "Rome"), (["Rome"], "Rome"),
    ],
)  # fmt: skip
def test_a_number_is_its_text(target: Any, text: str) -> None:
    assert read_requests([ROME | {"target": target}])[0].target == text


@pytest.mark.parametrize("nothing", [None, float("nan"), np.nan, pd.NA, pd.NaT, "", " "])
def test_an_empty_cell_is_nothing(nothing: Any) -> None:
    assert read_requests([ROME | {"subject": nothing, "note": None}])[0].subject.strip() == ""
    for key in ("prompt", "target"):
        with pytest.raises(UserError, match=f"Request 1 has no {key}"):
            read_requests([ROME, BERN | {key: nothing}])


def test_whole_numbers_beside_an_empty_cell_get_no_decimal() -> None:
    table = pd.DataFrame({"prompt": ["a is", "b is"], "target": ["x", "y"], "subject": [1997, None]})
    assert [request.subject for request in read_requests(table)] == ["1997", ""]
    assert [r.subject for r in read_requests(table.astype(object).to_dict("records"))] == ["1997", ""]
    assert read_requests([ROME | {"subject": 0.5}, ROME | {"subject": None, "id": 7}])[0].subject == "0.5"


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ([ROME, "text"], ["Request 1 is the text 'text'"]),
        ("text", ["the text 'text'"]),
        (None, ["None"]),
        (3, ["type int"]),
        ([ROME | {"target": True}], ["target of request 0", "truth value"]),
        ([ROME | {"target": ["a", "b"]}], ["target of request 0", "a list"]),
        ([ROME | {"target": b"Rome"}], ["bytes"]),
        ([ROME | {"prompt": {"a": 1}}], ["prompt of request 0", "an object"]),
        ([ROME | {"target": "\ud800"}], ["target of request 0", "half a character"]),
        ([ROME | {"Prompt": "x"}], ["'Prompt'", "did you mean 'prompt'"]),
        ([ROME | {3: "x"}], ["the key 3"]),
        ([Request("0", 5, "Rome")], ["its prompt"]),  # type: ignore[arg-type]
        ([ROME | {"id": 1}, BERN | {"id": 1}], ["the id '1'"]),
        ([], ["no request"]),
        (pd.DataFrame(), ["no request"]),
    ],
)
def test_a_mistake_names_the_request_and_the_key(given: Any, parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        read_requests(given)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_prompts_are_one_or_many() -> None:
    assert read_prompts("a") == ["a"] and read_prompts(iter(["a", "b"])) == ["a", "b"]
    for wrong in (None, 3, {"a": 1}, [None], ["a", 3], b"a", ["\ud800"]):
        with pytest.raises(UserError):
            read_prompts(wrong)


ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.binary(max_size=3), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=5,
)
TEXT = st.one_of(st.sampled_from([*ROME.values(), "it"]), ANY)
REQUESTS = st.one_of(
    st.lists(
        st.fixed_dictionaries({"prompt": TEXT, "target": TEXT}, optional={"subject": TEXT, "id": ANY, "extra": ANY}),
        max_size=2,
    ),
    ANY,
)
NAMES = ["rank", "layer", "lr", "steps", "head", "tail", "tolerance", "nonsense"]
VALUES = st.one_of(st.sampled_from([0, 1, -1, 0.5, "1", 1e30, 10**30, float("nan"), float("inf"), True]), ANY)


@pytest.fixture(scope="module")
def edited() -> EditedModel:
    tiny = engine("llama")
    return baft.edit(tiny.model.model, tiny.text.tokenizer, ROME, method="reft", settings={"steps": 1})


def or_told(call: Any) -> Any:
    """What ``call`` returns, or None where the user is told in one sentence."""
    try:
        return call()
    except UserError as error:
        assert str(error) and "\n" not in str(error)
        return None


@settings(deadline=None, max_examples=40)
@given(REQUESTS, st.one_of(st.none(), st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=2), ANY), VALUES)
def test_any_arguments_of_an_edit(requests: Any, changed: Any, seed: Any) -> None:
    tiny = engine("llama")
    own = {"steps": 1, **changed} if isinstance(changed, dict) else changed
    if own is None or (isinstance(own, dict) and own["steps"] not in (0, 1, -1)):
        own = {"steps": 1}
    seeds = seed if isinstance(seed, int) else 0
    or_told(lambda: baft.edit(tiny.model.model, tiny.text.tokenizer, requests, method="reft", settings=own, seed=seeds))


@settings(deadline=None, max_examples=40)
@given(st.one_of(st.lists(TEXT, max_size=2), ANY), VALUES, st.one_of(st.lists(TEXT, max_size=2), ANY))
def test_any_arguments_of_a_question(edited: EditedModel, prompts: Any, tokens: Any, stop: Any) -> None:
    count = min(tokens, 3) if isinstance(tokens, int) else tokens
    found = or_told(lambda: edited.answer(prompts, count, stop))
    assert found is None or all(isinstance(text, str) for text in found)


@settings(deadline=None, max_examples=40)
@given(st.one_of(st.sampled_from(["reft", "lora", "none"]), ANY), st.one_of(st.just({"steps": 1}), ANY))
def test_any_method_and_settings(method: Any, own: Any) -> None:
    tiny = engine("llama")
    own = {"steps": 1, **own} if isinstance(own, dict) else own or {"steps": 1}
    call = {"method": method, "settings": own}
    or_told(lambda: baft.edit(tiny.model.model, tiny.text.tokenizer, ROME, **call))
