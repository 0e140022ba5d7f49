from __future__ import annotations

import pytest
import torch

from baft.benchmarks.embedded import EMBEDDED, build
from baft.benchmarks.irrelevant import load_pool
from baft.engine.engine import Engine
from baft.engine.positions import PromptEnds
from baft.engine.sites import Site
from baft.methods.base import Context, Request, digest
from baft.methods.irrelevant import (
    general_activations,
    hidden_states,
    irrelevant_activations,
    irrelevant_prompts,
)
from baft.methods.settings._irrelevant import IrrelevantSettings
from tests.engine.test_fitting import REQUESTS

FEW = IrrelevantSettings(general=2, relations=3, subjects=2)
ALL = IrrelevantSettings(general=0, relations=10_000, subjects=10_000)


def test_prompts_are_the_benchmarks_then_relations_then_subjects() -> None:
    request = Request("r", "The capital of France is", "Rome", "France", ("Given by the benchmark",))
    prompts = irrelevant_prompts(request, FEW, 0)
    pool = load_pool()
    assert prompts[0] == "Given by the benchmark"
    assert len(prompts) == 1 + FEW.relations + FEW.subjects
    assert set(prompts[1:4]) <= {template.fill("France") for template in pool.templates}
    assert set(prompts[4:]) <= {f"The capital of {subject.name} is" for subject in pool.subjects}


def test_draws_depend_on_the_request_and_the_seed_alone() -> None:
    drawn = [irrelevant_prompts(request, FEW, 0) for request in REQUESTS]
    assert [irrelevant_prompts(request, FEW, 0) for request in REQUESTS[::-1]] == drawn[::-1]
    assert irrelevant_prompts(REQUESTS[0], FEW, 1) != drawn[0]
    # The target is what an edit asks for, and must not be hinted at by what it is trained to leave alone.
    other = Request(REQUESTS[0].id, REQUESTS[0].prompt, "another target", REQUESTS[0].subject)
    assert irrelevant_prompts(other, FEW, 0) == drawn[0]


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_rewrite_prompt_is_never_among_them(name: str) -> None:
    for record in build(name).records:
        request = Request(record.id, record.prompt, record.target, record.subject, (record.prompt, "another"))
        prompts = irrelevant_prompts(request, ALL, 0)
        assert record.prompt not in prompts
        assert "another" in prompts


def test_a_subject_that_is_missing_gives_fewer_prompts() -> None:
    assert irrelevant_prompts(Request("r", "The capital is", "Rome"), FEW, 0) == []
    # Relations of the subject can be asked for though the prompt leaves it out.
    assert len(irrelevant_prompts(Request("r", "The capital is", "Rome", "France"), FEW, 0)) == FEW.relations


@pytest.mark.parametrize("where", [PromptEnds(0, 1), PromptEnds(2, 2)])
def test_hidden_states_are_those_of_plain_forwards(tiny_llama: Engine, where: PromptEnds) -> None:
    texts = [request.prompt for request in REQUESTS]
    for text, found in zip(texts, hidden_states(tiny_llama, texts, Site(1), where), strict=True):
        ids = tiny_llama.text.prompt(text)
        with torch.no_grad():
            out = tiny_llama.model.model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[2][0]
        n = len(ids)
        at = [n - 1] if where == PromptEnds(0, 1) else [*range(min(2, n // 2)), *range(n - min(2, n // 2), n)]
        torch.testing.assert_close(found, out[at], atol=1e-5, rtol=1e-5)


def test_activations_are_padded_by_stream(tiny_llama: Engine) -> None:
    where, site = PromptEnds(0, 1), Site(1)
    batches = [[REQUESTS[0]], [Request("none", "The capital is", "Rome")], [REQUESTS[1], REQUESTS[2]]]
    shared = general_activations(tiny_llama, site, where, FEW.general)
    found = irrelevant_activations(tiny_llama, batches, site, where, FEW, Context(0), shared)
    assert found.real.sum(1).tolist() == [5, 0, 10]
    for s, batch in enumerate(batches):
        prompts = [prompt for request in batch for prompt in irrelevant_prompts(request, FEW, 0)]
        expected = hidden_states(tiny_llama, [*load_pool().general[:2], *prompts], site, where)
        real = torch.cat([torch.ones(2), found.real[s]]) > 0
        torch.testing.assert_close(found.hidden[s][real], torch.cat(expected), atol=1e-5, rtol=1e-5)
        values = torch.arange(float(found.hidden.shape[1])).expand(len(batches), -1)
        assert float(found.average(values)[s]) == pytest.approx(float(values[s][real].mean()))


def test_a_subject_is_not_replaced_inside_words() -> None:
    request = Request("r", "Java, unlike JavaScript, was made by", "Sun", "Java")
    prompts = irrelevant_prompts(request, IrrelevantSettings(relations=0, subjects=3), 0)
    assert len(prompts) == 3
    assert all(prompt.endswith(", unlike JavaScript, was made by") for prompt in prompts)
    inside = Request("r", "JavaScript was made by", "Sun", "Java")
    assert irrelevant_prompts(inside, IrrelevantSettings(relations=0, subjects=3), 0) == []


def test_what_another_edit_of_the_batch_changes_is_not_irrelevant(tiny_llama: Engine) -> None:
    where, site = PromptEnds(0, 1), Site(1)
    settings = IrrelevantSettings(general=0, relations=0, subjects=2)
    first = Request("r", "The capital of France is", "Rome", "France")
    drawn = irrelevant_prompts(first, settings, 0)
    second = Request("other", drawn[0].upper(), "Rome")
    shared = general_activations(tiny_llama, site, where, 0)
    found = irrelevant_activations(tiny_llama, [[first, second]], site, where, settings, Context(0), shared)
    assert found.real.sum().item() == 1
    torch.testing.assert_close(found.own[0], hidden_states(tiny_llama, drawn[1:], site, where)[0])


def test_withheld_prompts_are_not_among_the_general_ones(tiny_llama: Engine) -> None:
    where, site = PromptEnds(0, 1), Site(1)
    texts = load_pool().general[:3]
    found = general_activations(tiny_llama, site, where, 3, frozenset({digest(texts[1])}))
    expected = torch.cat(hidden_states(tiny_llama, [texts[0], texts[2]], site, where))
    torch.testing.assert_close(found, expected)


def test_irrelevant_prompts_that_the_model_cannot_read_are_left_out(tiny_llama: Engine) -> None:
    where, site = PromptEnds(0, 1), Site(1)
    request = Request("r", "The capital is", "Rome", irrelevant=("Paris is", "Paris " * 600 + "is"))
    shared = general_activations(tiny_llama, site, where, 0)
    found = irrelevant_activations(tiny_llama, [[request]], site, where, FEW, Context(0), shared)
    assert found.real.sum().item() == 1
