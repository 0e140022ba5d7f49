from __future__ import annotations

import copy
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch

from baft.benchmarks.irrelevant import load_pool
from baft.benchmarks.text import held_out_leads
from baft.config import CovariancesConfig
from baft.engine.deltas import Dense, Subspace
from baft.engine.engine import Engine
from baft.engine.positions import Everywhere, PromptEnds
from baft.engine.preambles import Preamble, Query
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.evaluation.covariances import texts_of
from baft.evaluation.drift import POOL, perplexity_ratios, pool, unedited_nlls
from baft.methods.base import seed_of

STREAMS = ["a", "b"]


def plainly(model: torch.nn.Module, engine: Engine, piece: int) -> list[float]:
    """Log-probabilities of the tokens of one piece behind its opening."""
    opening, rest = pool()[piece]
    first = len(engine.text.tokenizer(opening).input_ids)
    whole = engine.text.tokenizer(f"{opening} {rest}").input_ids
    with torch.no_grad():
        logprobs = model(torch.tensor([whole])).logits[0].double().log_softmax(-1)
    return [float(logprobs[place - 1, whole[place]]) for place in range(first, len(whole))]


def pieces_of(stream: str, count: int) -> list[int]:
    return random.Random(seed_of("drift", stream)).sample(range(POOL), count)


def edits(engine: Engine) -> tuple[Site, torch.Tensor]:
    site = Site(1, engine.model.architecture.mlp_down)
    wide, tall = engine.model.widths(site)
    return site, 0.3 * torch.randn(2, tall, wide, generator=torch.Generator().manual_seed(2))


def test_each_stream_reads_its_own_pieces_with_its_own_weights(tiny_llama: Engine) -> None:
    site, change = edits(tiny_llama)
    before = unedited_nlls(tiny_llama)
    assert len(before) == POOL
    state = EditState(2, {site: Dense(Everywhere(), change)})
    tokens = sum(len(tiny_llama.text.tokenizer(f"{a} {b}").input_ids) for a, b in pool())
    seen: list[float] = []
    for count in (1, 3, POOL):
        ratios = perplexity_ratios(tiny_llama, state, STREAMS, before, round(tokens * count / POOL))
        for stream, own, ratio in zip(STREAMS, change, ratios, strict=True):
            model = copy.deepcopy(tiny_llama.model.model)
            model.model.layers[1].mlp.down_proj.weight.data += own
            now, then = (
                [value for piece in pieces_of(stream, count) for value in plainly(m, tiny_llama, piece)]
                for m in (model, tiny_llama.model.model)
            )
            expected = math.exp((sum(then) - sum(now)) / len(now))
            assert ratio == pytest.approx(expected, rel=1e-4)
            seen.append(expected)
    assert max(seen) > 1.05


def test_what_a_stream_reads_depends_on_its_id_alone(tiny_llama: Engine) -> None:
    site, change = edits(tiny_llama)
    before = unedited_nlls(tiny_llama)
    both = perplexity_ratios(tiny_llama, EditState(2, {site: Dense(Everywhere(), change)}), STREAMS, before, 24)
    turned = EditState(2, {site: Dense(Everywhere(), change.flip(0))})
    assert perplexity_ratios(tiny_llama, turned, STREAMS[::-1], before, 24) == pytest.approx(both[::-1], rel=1e-4)
    assert pieces_of("a", 2) != pieces_of("b", 2)


def test_an_edit_at_the_end_of_the_prompt_is_felt(tiny_llama: Engine) -> None:
    draw = torch.Generator().manual_seed(3)
    rotation = torch.linalg.qr(torch.randn(1, 32, 4, generator=draw))[0].mT
    delta = Subspace(PromptEnds(0, 1), rotation, torch.randn(1, 4, 32, generator=draw), torch.ones(1, 4))
    before = unedited_nlls(tiny_llama)
    ratio = perplexity_ratios(tiny_llama, EditState(1, {Site(1): delta}), ["a"], before, 300)[0]
    assert ratio is not None
    assert abs(ratio - 1) > 1e-3


def test_without_deltas_it_is_1_and_without_tokens_nothing(tiny_llama: Engine) -> None:
    assert perplexity_ratios(tiny_llama, EditState(2), STREAMS, [3.0] * POOL, 64) == [1.0, 1.0]
    assert perplexity_ratios(tiny_llama, EditState(2), STREAMS, [3.0] * POOL, 0) == [None, None]
    assert perplexity_ratios(tiny_llama, EditState(2), STREAMS, None, 64) == [None, None]


def test_a_ruined_model_has_a_ratio_that_means_can_be_taken_of(tiny_llama: Engine) -> None:
    site, change = edits(tiny_llama)
    change = torch.stack([torch.full_like(change[0], math.nan), torch.zeros_like(change[0])])
    state = EditState(2, {site: Dense(Everywhere(), change)})
    ratios = perplexity_ratios(tiny_llama, state, STREAMS, [-100.0] * POOL, 64)
    assert math.isnan(ratios[0] or 0.0)
    assert ratios[1] == pytest.approx(math.exp(50.0))


def test_what_the_unedited_model_cannot_read_is_left_out_and_all_of_it_is_no_ratio(tiny_llama: Engine) -> None:
    site, change = edits(tiny_llama)
    state = EditState(2, {site: Dense(Everywhere(), change)})
    nlls = unedited_nlls(tiny_llama)
    whole = perplexity_ratios(tiny_llama, state, STREAMS, nlls, 10**6)
    for some in (state, EditState(2)):
        nothing = perplexity_ratios(tiny_llama, some, STREAMS, [math.nan] * POOL, 10**6)
        assert all(math.isnan(ratio or 0.0) for ratio in nothing), "not 1.000"
    part = perplexity_ratios(tiny_llama, state, STREAMS, [math.inf, *nlls[1:]], 10**6)
    assert all(math.isfinite(ratio or math.nan) for ratio in part)
    assert part != whole
    assert perplexity_ratios(tiny_llama, EditState(2), STREAMS, [math.nan, *nlls[1:]], 10**6) == [1.0, 1.0]


@dataclass(frozen=True)
class Longer(Preamble):
    """Puts ``words`` words before each prompt of a stream, more before the longer prompts."""

    words: tuple[int, ...]

    def choose(self, engine: Engine, queries: Sequence[Query]) -> list[str]:
        return ["very " * (self.words[query.stream] + len(query.prompt)) for query in queries]


def test_a_piece_that_is_too_long_behind_a_preamble_is_left_out(tiny_llama: Engine) -> None:
    nlls = unedited_nlls(tiny_llama)

    def ratios(*words: int, known: Sequence[float] = nlls) -> list[float]:
        state = EditState(len(words), preamble=Longer(((),) * len(words), words))
        streams = ["a"] * len(words)
        return [ratio or 0.0 for ratio in perplexity_ratios(tiny_llama, state, streams, known, 10**6)]

    long = [len(tiny_llama.text.prompt("very " * (75 + len(a)) + f"{a} {b}")) > 512 for a, b in pool()]
    assert 0 < sum(long) < POOL
    short, some, none = ratios(0, 75, 10**4)
    assert math.isfinite(short) and math.isnan(none)
    # As if the unedited model could not read them either, whatever the streams beside it.
    without = [math.nan if out else nll for out, nll in zip(long, nlls, strict=True)]
    assert ratios(75, known=without) == pytest.approx([some], rel=1e-4)


def test_a_model_that_is_too_short_for_the_text_has_no_drift(
    tiny_llama: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny_llama.model.model.config, "max_position_embeddings", 8)
    assert all(math.isnan(nll) for nll in unedited_nlls(tiny_llama))


def test_the_text_is_neither_trained_on_nor_are_covariances_collected_from_it() -> None:
    irrelevant = load_pool()
    prompts = [*irrelevant.general, *(template.text for template in irrelevant.templates)]
    collected = "\n".join(texts_of(CovariancesConfig()))
    assert len(collected) > 10**6
    for lead in held_out_leads():
        assert not any(prompt in lead for prompt in prompts)
        assert lead[:60] not in collected
    assert all(any(f"{opening} {rest}" in lead for lead in held_out_leads()) for opening, rest in pool())
