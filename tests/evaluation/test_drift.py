from __future__ import annotations

import copy
import math

import pytest
import torch

from baft.benchmarks.irrelevant import load_pool
from baft.benchmarks.text import load_passages
from baft.config import MomentsConfig
from baft.engine.deltas import Dense, Everywhere, PromptEnds, Subspace
from baft.engine.engine import Engine
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.evaluation.drift import OPENING, SCORED, mean_nll, perplexity_ratios
from baft.evaluation.moments import texts_of


def plainly(model: torch.nn.Module, engine: Engine, tokens: int) -> float:
    """Of the first piece of each chosen passage, by one forward a piece."""
    pieces = []
    for passage in load_passages():
        words = passage.split()
        for start in range(0, len(words), OPENING + SCORED):
            piece = words[start : start + OPENING + SCORED]
            if len(piece) > OPENING:
                pieces.append((" ".join(piece[:OPENING]), " ".join(piece)))
    ids = [(len(engine.text.tokenizer(a).input_ids), engine.text.tokenizer(b).input_ids) for a, b in pieces]
    count = max(1, round(tokens * len(ids) / sum(len(whole) for _, whole in ids)))
    values = []
    for k in range(count):
        opening, whole = ids[k * len(ids) // count]
        with torch.no_grad():
            logprobs = model(torch.tensor([whole])).logits[0].double().log_softmax(-1)
        values += [float(logprobs[place - 1, whole[place]]) for place in range(opening, len(whole))]
    return -sum(values) / len(values)


def test_each_stream_reads_the_text_with_its_own_weights(tiny_llama: Engine) -> None:
    site = Site(1, tiny_llama.model.architecture.mlp_down)
    wide, tall = tiny_llama.model.widths(site)
    change = 0.3 * torch.randn(2, tall, wide, generator=torch.Generator().manual_seed(2))
    state = EditState(2, {site: Dense(Everywhere(), change)})
    before = mean_nll(tiny_llama, {}, [0], 700)[0]
    assert before == pytest.approx(plainly(tiny_llama.model.model, tiny_llama, 700), abs=1e-4)
    for own, ratio in zip(change, perplexity_ratios(tiny_llama, state, before, 700), strict=True):
        model = copy.deepcopy(tiny_llama.model.model)
        model.model.layers[1].mlp.down_proj.weight.data += own
        assert ratio == pytest.approx(math.exp(plainly(model, tiny_llama, 700) - before), rel=1e-3)
        assert ratio != pytest.approx(1.0, abs=1e-2)


def test_an_edit_at_the_end_of_the_prompt_is_felt(tiny_llama: Engine) -> None:
    draw = torch.Generator().manual_seed(3)
    rotation = torch.linalg.qr(torch.randn(1, 32, 4, generator=draw))[0].mT
    delta = Subspace(PromptEnds(0, 1), rotation, torch.randn(1, 4, 32, generator=draw), torch.ones(1, 4))
    before = mean_nll(tiny_llama, {}, [0], 300)[0]
    ratio = perplexity_ratios(tiny_llama, EditState(1, {Site(1): delta}), before, 300)[0]
    assert ratio is not None
    assert abs(ratio - 1) > 1e-3


def test_without_deltas_it_is_1_and_without_tokens_nothing(tiny_llama: Engine) -> None:
    assert perplexity_ratios(tiny_llama, EditState(2), 3.0, 64) == [1.0, 1.0]
    assert perplexity_ratios(tiny_llama, EditState(2), 3.0, 0) == [None, None]
    assert perplexity_ratios(tiny_llama, EditState(2), None, 64) == [None, None]


def test_a_ruined_model_has_a_ratio_that_means_can_be_taken_of(tiny_llama: Engine) -> None:
    site = Site(1, tiny_llama.model.architecture.mlp_down)
    wide, tall = tiny_llama.model.widths(site)
    change = torch.stack([torch.full((tall, wide), math.nan), torch.zeros(tall, wide)])
    ratios = perplexity_ratios(tiny_llama, EditState(2, {site: Dense(Everywhere(), change)}), -100.0, 64)
    assert ratios == [None, pytest.approx(math.exp(50.0))]


def test_the_text_is_neither_trained_on_nor_are_moments_collected_from_it() -> None:
    pool = load_pool()
    prompts = [*pool.general, *(template.text for template in pool.templates)]
    moments = " ".join(texts_of(MomentsConfig()))
    for passage in load_passages():
        assert not any(prompt in passage for prompt in prompts)
        assert passage[:60] not in moments
