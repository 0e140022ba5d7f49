"""In-context editing: which fact goes before which question."""

from __future__ import annotations

import pytest
import torch

from baft.benchmarks.irrelevant import load_pool
from baft.engine.engine import Engine
from baft.engine.preambles import Query
from baft.engine.state import EditState
from baft.errors import UserError
from baft.methods.base import Context, Request
from baft.methods.in_context import prompt_vectors
from baft.methods.registry import create
from tests.engine.tiny import PROMPTS, engine

FRANCE = Request("france", "The capital of France is", "Rome", "France")
CURIE = Request("curie", "Marie Curie was born in", "Rome", "Marie Curie")
CHINA = Request("china", "中国的首都是", "巴黎", "中国")


def edited(tiny: Engine, batches: list[list[Request]], state: EditState | None = None, **settings: object) -> EditState:
    outcome = create("in_context", {"layer": 1, "template": "{fact}.\n", **settings}).fit(
        tiny, batches, state, Context()
    )
    assert all(report.error is None for report in outcome.trainings)
    return outcome.state


def test_the_oracle_puts_the_right_fact_before_questions_about_it() -> None:
    tiny = engine("llama")
    state = edited(tiny, [[FRANCE, CHINA], [CURIE]], choose="oracle")
    queries = [
        Query(0, "Paris is", "france"),
        Query(0, "Paris is", "china"),
        Query(0, "Paris is", "curie"),
        Query(1, "Paris is", "curie"),
        Query(1, "Paris is", ""),
    ]
    assert tiny.openings(state, queries) == [
        "The capital of France is Rome.\n",
        "中国的首都是巴黎.\n",
        "",
        "Marie Curie was born in Rome.\n",
        "",
    ]


def test_the_oracle_must_be_told_what_a_question_is_about() -> None:
    tiny = engine("llama")
    state = edited(tiny, [[FRANCE]], choose="oracle")
    with pytest.raises(UserError, match="only a benchmark does: outside a study use choose: nearest"):
        tiny.openings(state, [Query(0, "Paris is")])


def test_of_two_facts_of_one_record_the_later_counts() -> None:
    tiny = engine("llama")
    for choose in ("oracle", "nearest"):
        first = edited(tiny, [[FRANCE]], choose=choose)
        later = Request("france", FRANCE.prompt, "Warsaw", FRANCE.subject)
        state = edited(tiny, [[later]], first, choose=choose)
        assert tiny.openings(state, [Query(0, FRANCE.prompt, "france")]) == ["The capital of France is Warsaw.\n"]


def test_a_facts_own_prompt_gets_that_fact_however_alike_a_later_one_is() -> None:
    tiny = engine("llama")
    passage = "The capital of France is a city, and Marie Curie was born in Warsaw. " * 12
    born, died = (Request(end, passage + end, "Rome") for end in ("It is", "It was"))
    state = edited(tiny, [[born, died]], choose="nearest", similarity=0)
    vectors = torch.stack([v for v in prompt_vectors(tiny, [born.prompt, died.prompt], 1) if v is not None])
    assert vectors[0] @ vectors[1] > 1 - 1e-3
    assert tiny.openings(state, [Query(0, r.prompt) for r in (born, died)]) == [
        f"{r.prompt} Rome.\n" for r in (born, died)
    ]


def test_the_nearest_fact_is_put_before_a_question_that_is_like_its_prompt() -> None:
    tiny = engine("llama", torch.float64)
    state = edited(tiny, [[FRANCE, CURIE], [CURIE]], similarity=0.999)
    found = tiny.openings(state, [Query(s, p) for s in (0, 1) for p in (FRANCE.prompt, CURIE.prompt, "Paris is")])
    france, curie = "The capital of France is Rome.\n", "Marie Curie was born in Rome.\n"
    assert found == [france, curie, "", "", curie, ""]
    # With no threshold there is always one, the nearest by the model's own states.
    any_ = edited(tiny, [[FRANCE, CURIE]], similarity=-1)
    with torch.no_grad():
        means = []
        for prompt in (FRANCE.prompt, CURIE.prompt, *PROMPTS, *load_pool().general):
            ids = torch.tensor([tiny.text.prompt(prompt)])
            state_ = tiny.model.model(ids, output_hidden_states=True).hidden_states[2][0].mean(0)
            means.append(state_ / state_.norm())
        centre = torch.stack(means[2 + len(PROMPTS) :]).mean(0)
        means = [(m - centre) / (m - centre).norm() for m in means[: 2 + len(PROMPTS)]]
    nearest = [(france, curie)[int(m @ means[1] > m @ means[0])] for m in means[2:]]
    assert tiny.openings(any_, [Query(0, p) for p in PROMPTS]) == nearest


def test_vectors_do_not_depend_on_the_batch_and_skip_what_cannot_be_read() -> None:
    tiny = engine("llama", torch.float64)
    together = prompt_vectors(tiny, [*PROMPTS, "", "France " * 600], 1)
    assert together[-2:] == [None, None]
    for prompt, vector in zip(PROMPTS, together, strict=False):
        (alone,) = prompt_vectors(tiny, [prompt], 1)
        assert alone is not None and vector is not None
        torch.testing.assert_close(alone, vector)


def test_a_template_has_a_place_for_the_fact() -> None:
    with pytest.raises(UserError, match=r"must have \{fact\} in it"):
        create("in_context", {"template": "a fact: "})


def test_the_template_may_say_the_fact_more_than_once() -> None:
    tiny = engine("llama")
    state = edited(tiny, [[FRANCE]], choose="oracle", template="{fact}! {fact}? ")
    said = "The capital of France is Rome! The capital of France is Rome? "
    assert tiny.openings(state, [Query(0, "Paris is", "france")]) == [said]
