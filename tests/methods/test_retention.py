"""Retention: its term against a plain float64 formula, what a stream remembers, and that earlier edits stay as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from baft.engine.asking import Decoding, Question
from baft.engine.deltas import Subspace
from baft.engine.engine import Engine
from baft.engine.positions import Everywhere
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.methods.base import Context, Request, prompt_number
from baft.methods.registry import create
from baft.methods.retention import PROMPTS, STATES, Earlier, disturbance, earlier_edits, remembered
from tests.engine.test_fitting import METHODS, REQUESTS
from tests.engine.tiny import engine
from tests.methods.test_baft import delta as gated
from tests.methods.test_baft import last_state, own_of, states, update_of

S, D = 3, 16
SITE = Site(1)
NOTHING: list[list[Request]] = [[]] * S


def test_the_term_is_the_mean_squared_relative_change_at_the_states_there_are() -> None:
    before, now = gated(), gated()
    now = now.with_tensors({**now.tensors(), "bias": now.bias + 0.3, "gate_bias": now.gate_bias - 0.2})
    hidden, lengths = states(S, 4, D, seed=1), (4, 0, 2)
    for s, length in enumerate(lengths):
        hidden[s, length:] = 0
    state = EditState(S, {SITE: before}, {STATES: hidden, PROMPTS: torch.zeros(S, 4, dtype=torch.float64)})
    earlier = earlier_edits(state, SITE, NOTHING)
    assert earlier is not None
    expected = np.zeros(S)
    for s, length in enumerate(lengths):
        for h in hidden[s, :length].double().numpy():
            change = update_of(own_of(now, s), h) - update_of(own_of(before, s), h)
            expected[s] += (change**2).sum() / (h**2).sum() / length
    assert expected[0] > 0.01
    np.testing.assert_allclose(disturbance(now, earlier), expected, rtol=1e-4)
    assert disturbance(before, earlier).tolist() == [0, 0, 0]
    part = torch.tensor([2, 0])
    np.testing.assert_allclose(disturbance(now.select(part), earlier.select(part)), expected[[2, 0]], rtol=1e-4)


def test_rows_without_an_edit_have_no_gradient_and_none_that_is_not_a_number() -> None:
    made = gated()
    bias = made.bias.clone().requires_grad_()
    moved = made.with_tensors({**made.tensors(), "bias": bias})
    nothing = Earlier(torch.zeros(S, 2, D), torch.zeros(S, 2, D), torch.zeros(S, 2))
    (gradient,) = torch.autograd.grad(disturbance(moved, nothing).sum(), [bias])
    assert not gradient.any()


def test_a_state_that_remembers_nothing_holds_nothing() -> None:
    rotation = torch.eye(2, D).expand(S, 2, D)
    plain = Subspace(Everywhere(), rotation, torch.zeros(S, 2, D), torch.zeros(S, 2))
    assert earlier_edits(None, SITE, NOTHING) is None
    assert earlier_edits(EditState(S, {SITE: plain}), SITE, NOTHING) is None


def test_a_stream_remembers_the_states_of_its_prompts_in_turn() -> None:
    memory = remembered(None, [REQUESTS[:1], REQUESTS[1:2]], [[states(2, D, seed=1)], [states(1, D, seed=2)]])
    first, numbers = memory[STATES], memory[PROMPTS]
    assert first.shape == (2, 2, D)
    assert not first[1, 1].any()
    then = remembered(
        Earlier(first, first, numbers),
        [REQUESTS[2:3], REQUESTS[3:5]],
        [[states(1, D, seed=3)], [states(1, D, seed=4), states(1, D, seed=5)]],
    )
    known = [prompt_number(request.prompt) for request in REQUESTS]
    assert then[PROMPTS].tolist() == [[known[0], known[0], known[2], 0], [known[1], 0, known[3], known[4]]]
    torch.testing.assert_close(then[STATES][:, :2], first)
    torch.testing.assert_close(then[STATES][0, 2:], torch.cat([states(1, D, seed=3), torch.zeros(1, D)]))
    torch.testing.assert_close(then[STATES][1, 2:], torch.cat([states(1, D, seed=4), states(1, D, seed=5)]))


@pytest.mark.parametrize("label", ["baft", "baft growing"])
def test_what_is_remembered_are_the_unedited_states(label: str, tiny_llama: Engine) -> None:
    name, settings = METHODS[label]
    state: EditState | None = None
    for request in REQUESTS[:3]:
        state = create(name, settings).fit(tiny_llama, [[request]], state, Context()).state
    assert state is not None
    for n, request in enumerate(REQUESTS[:3]):
        torch.testing.assert_close(state.memory[STATES][0, n], last_state(tiny_llama, request.prompt))
    forgetful = create(name, {**settings, "retention": 0}).fit(tiny_llama, [[REQUESTS[0]]], None, Context())
    assert STATES not in forgetful.state.memory


def test_an_edit_that_failed_is_not_remembered(tiny_llama: Engine) -> None:
    name, settings = METHODS["baft growing"]
    method = create(name, settings)
    state = method.fit(tiny_llama, [[REQUESTS[0]], [REQUESTS[1]]], None, Context()).state
    too_long = Request("long", "word " * 5000 + "is", "Rome", "word")
    outcome = method.fit(tiny_llama, [[REQUESTS[2]], [too_long]], state, Context())
    assert [report.error is None for report in outcome.trainings] == [True, False]
    held = outcome.state.memory[STATES]
    assert held[0, 1].any()
    assert not held[1, 1].any()
    torch.testing.assert_close(held[1, 0], state.memory[STATES][1, 0])


@pytest.mark.parametrize("gate", ["sigmoid", "softmax", "constant"])
@pytest.mark.parametrize("grow", [0, 2])
def test_retention_keeps_what_earlier_edits_do(gate: str, grow: int) -> None:
    tiny = engine("llama", torch.float64)
    few: dict[str, Any] = {
        "tolerance": 0,
        "general": 2,
        "relations": 1,
        "subjects": 0,
        "lr": 1e-2,
        "gate_bias": 0.0,
        "grow_bias": 0.0,
    }
    lost, gained = {}, {}
    for retention in (0.0, 100.0):
        settings = {"layer": 1, "rank": 4, "steps": 40, "gate": gate, "grow": grow, "retention": retention, **few}
        method = create("baft", settings)
        first = method.fit(tiny, [[REQUESTS[0]]], None, Context()).state
        state = first
        for request in REQUESTS[1:4]:
            state = method.fit(tiny, [[request]], state, Context()).state
        lost[retention] = probability(tiny, first, REQUESTS[0]) - probability(tiny, state, REQUESTS[0])
        gained[retention] = probability(tiny, state, REQUESTS[3]) - probability(tiny, None, REQUESTS[3])
    assert lost[0.0] > 0
    assert lost[100.0] < 0.5 * lost[0.0]
    assert gained[100.0] > 0


def test_a_prompt_that_is_edited_again_is_not_held_in_its_own_stream() -> None:
    hidden = states(S, 2, D, seed=1)
    known = torch.tensor([[prompt_number(request.prompt) for request in REQUESTS[:2]]] * S, dtype=torch.float64)
    state = EditState(S, {SITE: gated()}, {STATES: hidden, PROMPTS: known})
    again = Request("again", REQUESTS[0].prompt.upper(), "Rome")
    earlier = earlier_edits(state, SITE, [[again], REQUESTS[2:4], [REQUESTS[3], REQUESTS[1]]])
    assert earlier is not None
    assert earlier.hidden.any(-1).tolist() == [[False, True], [True, True], [True, False]]
    assert torch.equal(earlier.hidden[1], hidden[1])
    then = remembered(earlier, [[again]] * S, [[states(1, D, seed=2)]] * S)[PROMPTS]
    assert then[0].tolist() == [0, prompt_number(REQUESTS[1].prompt), prompt_number(again.prompt)]


@pytest.mark.parametrize("grow", [0, 4])
def test_an_edit_of_the_same_prompt_overwrites_the_earlier_one(grow: int) -> None:
    tiny = engine("llama", torch.float64)
    few: dict[str, Any] = {"general": 2, "relations": 1, "subjects": 0, "lr": 2e-2, "tolerance": 0.05}
    method = create("baft", {"layer": 1, "rank": 4, "steps": 60, "grow": grow, "retention": 100.0, **few})
    again = Request("again", REQUESTS[0].prompt, "Rome", REQUESTS[0].subject)
    first = method.fit(tiny, [[REQUESTS[0]]], None, Context()).state
    state = method.fit(tiny, [[again]], first, Context()).state
    assert probability(tiny, state, again) > probability(tiny, first, again) + 1
    assert probability(tiny, state, again) > probability(tiny, state, REQUESTS[0])


def test_retention_weighs_beside_each_record_of_a_step() -> None:
    tiny = engine("llama", torch.float64)
    plain: dict[str, Any] = {"layer": 1, "rank": 4, "steps": 10, "tolerance": 0, "grow": 0, "locality": 0, "balance": 0}
    first = create("baft", plain).fit(tiny, [[REQUESTS[0]]], None, Context()).state

    def later(records: int, retention: float) -> torch.Tensor:
        method = create("baft", {**plain, "retention": retention, "lr": 1e-2})
        state = method.fit(tiny, [[REQUESTS[1]] * records], first, Context()).state
        return state.deltas[SITE].tensors()["weight"]

    # The same record twice has the cross-entropy that it has once.
    torch.testing.assert_close(later(2, 200.0), later(1, 100.0), rtol=1e-8, atol=1e-10)
    assert not torch.allclose(later(2, 200.0), later(2, 100.0), rtol=1e-4)


def probability(tiny: Engine, state: EditState | None, request: Request) -> float:
    """Log-probability, in nats a token, of the target."""
    answer = tuple(tiny.text.answer(request.prompt, request.target))
    question = Question(0, tuple(tiny.text.prompt(request.prompt)), (answer,))
    (reply,) = tiny.ask(state, [question], Decoding(0))
    return float(np.mean(reply.forced[0].logprob))
