"""Deltas that decide at the prompt: one decision a row, whatever continues it and whatever is beside it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from baft.engine.asking import Decoding, Question, Reply
from baft.engine.budget import TokenBudget
from baft.engine.deltas import Deciding, Delta, Offset
from baft.engine.engine import Engine
from baft.engine.fitting import Schedule, minimise
from baft.engine.positions import AtMark, Everywhere, PromptEnds
from baft.engine.rows import Row
from baft.engine.sites import Site
from baft.engine.state import EditState
from tests.engine.tiny import PROMPTS, TARGETS, engine
from tests.engine.toys import NearestOffset

LOW, HIGH = Site(0), Site(2)
NEAR = 1e-3


def mean_state(tiny: Engine, prompt: str) -> torch.Tensor:
    """By the model library itself."""
    ids = torch.tensor([tiny.text.prompt(prompt)])
    with torch.no_grad():
        return tiny.model.model(ids, output_hidden_states=True).hidden_states[LOW.layer + 1][0].mean(0)


def routed(tiny: Engine, prompts: tuple[str, ...] = PROMPTS[:3], site: Site = HIGH) -> EditState:
    """Two streams: one opens at ``prompts``, one nowhere."""
    keys = torch.stack([mean_state(tiny, prompt) for prompt in prompts])
    values = 3 * torch.randn(keys.shape, generator=torch.Generator().manual_seed(3), dtype=keys.dtype)
    delta = NearestOffset(
        Everywhere(), torch.stack([keys, keys + 100]), torch.stack([values, values]), at=LOW, radius=NEAR
    )
    return EditState(2, {site: delta})


def question(tiny: Engine, stream: int, prompt: str, *answers: str) -> Question:
    text = tiny.text
    return Question(stream, tuple(text.prompt(prompt)), tuple(tuple(text.answer(prompt, a)) for a in answers))


def close(a: Reply, b: Reply) -> None:
    assert a.decoded == b.decoded
    for one, other in zip(a.forced, b.forced, strict=True):
        assert one.argmax == other.argmax
        assert one.logprob == pytest.approx(other.logprob, abs=1e-8)


@pytest.fixture(params=["llama", "gpt2", "gemma2"])
def tiny(request: pytest.FixtureRequest) -> Engine:
    return engine(request.param, torch.float64)


def test_a_decision_is_kept_for_forced_answers_and_decoding(tiny: Engine) -> None:
    # What the prompt decides acts as if it were always there: forced and decoded tokens have another mean state.
    state, prompt = routed(tiny), PROMPTS[1]
    delta = state.deltas[HIGH]
    assert isinstance(delta, NearestOffset)
    always = EditState(1, {HIGH: Offset(Everywhere(), delta.values[:1, 1])})
    asked = question(tiny, 0, prompt, "Rome, the city", "a poet")
    (reply,) = tiny.ask(state, [asked], Decoding(6))
    (expected,) = tiny.ask(always, [asked], Decoding(6))
    close(reply, expected)
    (plain,) = tiny.ask(None, [asked], Decoding(6))
    assert reply.forced[0].logprob != pytest.approx(plain.forced[0].logprob, abs=1e-3)


def test_a_decision_depends_on_nothing_but_the_prompt(tiny: Engine) -> None:
    state = routed(tiny)
    batch = [question(tiny, n % 2, p, t, "a long answer of many words") for n, p in enumerate(PROMPTS) for t in TARGETS]
    together = tiny.ask(state, batch, Decoding(4))
    for one, reply in zip(batch[::5], together[::5], strict=True):
        (alone,) = replace(tiny, budget=TokenBudget(1)).ask(state, [one], Decoding(4))
        close(reply, alone)


def test_where_nothing_opens_the_model_is_the_unedited_one_bit_for_bit(tiny: Engine) -> None:
    state = routed(tiny)
    far = [question(tiny, n % 2, p, "Rome") for n, p in enumerate(PROMPTS[3:])] + [
        question(tiny, 1, PROMPTS[0], "Rome")
    ]
    assert tiny.ask(state, far, Decoding(5)) == tiny.ask(None, far, Decoding(5))


def test_a_decision_is_taken_without_a_cache_too(tiny: Engine) -> None:
    # One pass over prompt and answer: the answer's tokens are there and must not count.
    state, prompt, answer = routed(tiny), PROMPTS[0], tiny.text.answer(PROMPTS[0], "Rome, the city")
    row = Row.forced(0, tiny.text.prompt(prompt), answer)
    from baft.engine.frozen import Reads
    from baft.engine.rows import collate

    batch = collate([row], tiny.model.device, tiny.pad)
    at = torch.tensor([position for position, _ in row.reads])
    states = tiny.model.states(batch, Reads(torch.zeros_like(at), at), state.deltas.items())
    logprobs = tiny.model.head(states).log_softmax(-1)[torch.arange(len(at)), torch.tensor(answer)].tolist()
    (reply,) = tiny.ask(state, [question(tiny, 0, prompt, "Rome, the city")], Decoding(0))
    assert reply.forced[0].logprob == pytest.approx(logprobs, abs=1e-8)


@pytest.mark.parametrize("where", [PromptEnds(0, 1), AtMark()])
def test_earlier_edits_that_decide_act_in_training_as_they_do_when_asked(
    tiny: Engine, where: PromptEnds | AtMark
) -> None:
    state = routed(tiny)
    rows = [
        Row.forced(s, tiny.text.prompt(p), tiny.text.answer(p, "Rome, the city"), len(tiny.text.prompt(p)) - 1)
        for s in (0, 1)
        for p in (PROMPTS[0], PROMPTS[4])
    ]
    fit = minimise(
        tiny.model,
        rows,
        {"value": torch.zeros(2, tiny.model.hidden_size, dtype=torch.float64)},
        lambda params: {Site(1): Offset(where, params["value"])},
        Schedule(1, 0.0),
        tiny.pad,
        standing=state.deltas,
    )
    asked = [question(tiny, s, p, "Rome, the city") for s in (0, 1) for p in (PROMPTS[0], PROMPTS[4])]
    means = [-sum(r.forced[0].logprob) / len(r.forced[0].logprob) for r in tiny.ask(state, asked, Decoding(0))]
    assert fit.loss == pytest.approx([sum(means[:2]) / 2, sum(means[2:]) / 2], abs=1e-8)
    plain = tiny.ask(None, asked, Decoding(0))
    assert plain[0].forced[0].logprob != pytest.approx(
        tiny.ask(state, asked, Decoding(0))[0].forced[0].logprob, abs=1e-3
    )


def test_a_pass_that_cannot_decide_is_a_fault_and_not_a_guess() -> None:
    tiny = engine("llama")
    state = routed(tiny)
    from transformers import DynamicCache

    from baft.engine.frozen import Reads
    from baft.engine.rows import Batch

    one = torch.ones(1, dtype=torch.int64)
    later = Batch(torch.tensor([[5]]), 3 * one, 3 * one, -one, 4 * one, 0 * one)
    cache = DynamicCache()
    cached = torch.ones(1, 3, dtype=torch.bool)
    with pytest.raises(RuntimeError, match="has not decided"):
        tiny.model.states(later, Reads(0 * one, 0 * one), state.deltas.items(), cache=cache, cached=cached)


def test_what_decides_row_by_row_has_no_update_of_a_whole_stream() -> None:
    tiny = engine("llama")
    delta: Delta = routed(tiny).deltas[HIGH]
    assert isinstance(delta, Deciding)
    with pytest.raises(TypeError):
        delta.update(torch.zeros(1, 1, 32), torch.zeros(1, 1, 32), torch.zeros(1, dtype=torch.int64))
