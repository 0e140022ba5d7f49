"""BaFT's terms against plain float64 formulas, and its two limits: constant weights, and what a stream carries along."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from baft.engine.deltas import GatedSubspace, Subspace
from baft.engine.engine import Engine
from baft.engine.positions import Everywhere, PromptEnds
from baft.engine.state import EditState
from baft.methods.baft import USAGE, displacement, imbalance, mean_gates
from baft.methods.base import Context, Request
from baft.methods.irrelevant import Activations
from baft.methods.registry import create
from baft.methods.retention import STATES
from tests.engine.test_fitting import METHODS, REQUESTS
from tests.engine.tiny import engine

S, R, D = 3, 4, 16


def delta() -> GatedSubspace:
    draw = torch.Generator().manual_seed(0)

    def r(*shape: int) -> torch.Tensor:
        return torch.randn(S, *shape, generator=draw)

    return GatedSubspace(
        Everywhere(), torch.linalg.qr(r(D, R))[0].mT.contiguous(), r(R, D), r(R), 0.3 * r(R, D), 0.5 * r(R)
    )


def gates_of(own: dict[str, np.ndarray], h: np.ndarray) -> np.ndarray:
    unit = h / math.sqrt((h**2).mean() + 1e-6)
    return 1 / (1 + np.exp(-(own["gate_weight"] @ unit + own["gate_bias"])))


def update_of(own: dict[str, np.ndarray], h: np.ndarray) -> np.ndarray:
    moves = own["weight"] @ h + own["bias"] - own["rotation"] @ h
    return own["rotation"].T @ (gates_of(own, h) * moves)


def own_of(trained: GatedSubspace, stream: int) -> dict[str, np.ndarray]:
    return {name: t[stream].double().numpy() for name, t in trained.tensors().items()}


def states(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_update_is_the_formula() -> None:
    made, h = delta(), 5 * states(S, 7, D, seed=1)
    updates = made.update(h, h, torch.arange(S))
    for s in range(S):
        for n in range(7):
            np.testing.assert_allclose(updates[s, n], update_of(own_of(made, s), h[s, n].double().numpy()), atol=1e-4)


def test_displacement_is_the_mean_squared_relative_length_of_the_update() -> None:
    made, lengths = delta(), (3, 0, 2)
    shared, own = states(5, D, seed=2), states(S, 3, D, seed=3)
    real = torch.tensor([[float(n < length) for n in range(3)] for length in lengths])
    # What lies in the padding must not matter.
    own = torch.where(real[..., None] > 0, own, 1e3)
    expected = []
    for s, length in enumerate(lengths):
        inputs = [*shared.double().numpy(), *own[s, :length].double().numpy()]
        expected.append(np.mean([(update_of(own_of(made, s), h) ** 2).sum() / (h**2).sum() for h in inputs]))
    found = displacement(made, Activations(shared, own, real))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    part = displacement(made.select(torch.tensor([2])), Activations(shared, own, real).select(torch.tensor([2])))
    np.testing.assert_allclose(part, expected[2:], rtol=1e-5)


def test_displacement_without_irrelevant_prompts_is_nothing() -> None:
    nothing = Activations(torch.zeros(0, D), torch.zeros(S, 0, D), torch.zeros(S, 0))
    assert displacement(delta(), nothing).tolist() == [0, 0, 0]


def test_mean_gates_average_over_all_edited_positions_of_a_stream() -> None:
    made = delta()
    prompts = [[states(n, D, seed=10 * s + n) for n in counts] for s, counts in enumerate([(1,), (2, 3), (4, 1, 1)])]
    for s, found in enumerate(mean_gates(made, prompts)):
        every = [gates_of(own_of(made, s), h.double().numpy()) for own in prompts[s] for h in own]
        np.testing.assert_allclose(found, np.mean(every, axis=0), rtol=1e-5)


def test_imbalance_is_the_squared_coefficient_of_variation() -> None:
    usage = torch.tensor([[2.0, 2.0, 2.0, 2.0], [0.1, 0.4, 0.2, 0.9], [0.0, 5.0, 0.0, 0.0]])
    every = torch.full((3,), R)
    expected = [np.var(u) / np.mean(u) ** 2 for u in usage.double().numpy()]
    np.testing.assert_allclose(imbalance(usage, every), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(expected, [0, expected[1], R - 1])
    np.testing.assert_allclose(imbalance(100 * usage, every), expected, rtol=1e-6, atol=1e-6)
    # Bases that a stream does not have are neither used nor missed.
    wider = torch.cat([usage, torch.zeros(3, 2)], 1)
    np.testing.assert_allclose(imbalance(wider, every), expected, rtol=1e-6, atol=1e-6)


def test_constant_weights_scale_refts_update() -> None:
    made, h = delta(), states(S, 5, D, seed=4)
    constant = made.with_tensors(
        {"gate_weight": torch.zeros(S, R, D), "gate_bias": torch.full((S, R), math.log(0.3 / 0.7))}
    )
    plain = Subspace(Everywhere(), made.rotation, made.weight, made.bias)
    present = torch.arange(S)
    torch.testing.assert_close(constant.update(h, h, present), 0.3 * plain.update(h, h, present))


@pytest.mark.parametrize("balance", [0.0, 1.0])
def test_open_gates_train_as_reft_does(balance: float) -> None:
    tiny, shared = engine("llama", torch.float64), {"layer": 1, "rank": 4, "steps": 12, "lr": 2e-2, "tolerance": 0.1}
    batches = [[r] for r in REQUESTS]
    reft = create("reft", shared).fit(tiny, batches, None, Context())
    # σ(40) is 1 to the last bit, and has no gradient; a locality term would act on W, b and R.
    constant = {"gate_bias": 40.0, "locality": 0, "balance": balance, "general": 2, "relations": 1, "subjects": 0}
    baft = create("baft", {**shared, **constant}).fit(tiny, batches, None, Context())
    assert [r.steps for r in baft.trainings] == [r.steps for r in reft.trainings]
    assert max(r.steps for r in reft.trainings) > 5
    (one,), (other,) = reft.state.deltas.values(), baft.state.deltas.values()
    for name, tensor in one.tensors().items():
        torch.testing.assert_close(other.tensors()[name], tensor, atol=1e-9, rtol=1e-9)
    assert isinstance(other, GatedSubspace)
    h = states(len(batches), 3, 32, seed=5).double()
    assert bool((other.gates(h, torch.arange(len(batches))) == 1).all())


def test_constant_weights_without_the_locality_term_are_reft() -> None:
    tiny, shared = engine("llama", torch.float64), {"layer": 1, "rank": 4, "steps": 12, "lr": 2e-2, "tolerance": 0.1}
    batches = [[r] for r in REQUESTS]
    reft = create("reft", shared).fit(tiny, batches, None, Context())
    few = {"general": 2, "relations": 1, "subjects": 0}
    # Equal weights are balanced, however strongly that is asked for.
    plain = create("baft", {**shared, **few, "gate": "constant", "locality": 0, "balance": 9}).fit(
        tiny, batches, None, Context()
    )
    assert [r.steps for r in plain.trainings] == [r.steps for r in reft.trainings]
    (one,), (other,) = reft.state.deltas.values(), plain.state.deltas.values()
    assert type(other) is type(one) is Subspace
    torch.testing.assert_close(other.tensors(), one.tensors(), atol=1e-9, rtol=1e-9)
    assert plain.trained == reft.trained
    local = create("baft", {**shared, **few, "gate": "constant"}).fit(tiny, batches, None, Context())
    (moved,) = local.state.deltas.values()
    assert not torch.equal(moved.tensors()["weight"], one.tensors()["weight"])


@pytest.mark.parametrize("gate", ["sigmoid", "softmax", "constant"])
def test_the_locality_term_holds_for_every_weight_function(gate: str, tiny_llama: Engine) -> None:
    name, settings = METHODS["baft"]
    settings = {**settings, "general": 0, "relations": 0, "subjects": 0, "steps": 60, "lr": 1e-2, "tolerance": 0}
    request = Request("r", "The capital of France is", "Rome", "France", ("Paris is",))
    moved = []
    for locality in (0.0, 100.0):
        method = create(name, {**settings, "gate": gate, "locality": locality})
        (made,) = method.fit(tiny_llama, [[request]], None, Context()).state.deltas.values()
        h = last_state(tiny_llama, "Paris is")[None, None]
        moved.append(float(made.update(h, h, torch.arange(1)).norm()))
    assert moved[1] < 0.7 * moved[0]


def test_a_stronger_locality_term_moves_irrelevant_prompts_less(tiny_llama: Engine) -> None:
    name, settings = METHODS["baft"]
    prompts = ("Warsaw is the capital of the country of", "Paris is")
    request = Request("r", "The capital of France is", "Rome", "France", prompts)
    moved = []
    for locality in (0.0, 100.0):
        method = create(name, {**settings, "general": 0, "relations": 0, "subjects": 0, "locality": locality})
        (made,) = method.fit(tiny_llama, [[request]], None, Context()).state.deltas.values()
        h = torch.stack([last_state(tiny_llama, prompt) for prompt in prompts])
        moved.append(float(made.update(h[None], h[None], torch.arange(1)).norm()))
    assert moved[1] < 0.5 * moved[0]


def last_state(tiny: Engine, prompt: str) -> torch.Tensor:
    """Output of block 1 at the prompt's last token, by a plain forward."""
    with torch.no_grad():
        out = tiny.model.model(input_ids=torch.tensor([tiny.text.prompt(prompt)]), output_hidden_states=True)
    return out.hidden_states[2][0, -1]


def test_usage_adds_up_along_a_stream(tiny_llama: Engine) -> None:
    name, settings = METHODS["baft"]
    method = create(name, settings)
    first = [[REQUESTS[0], REQUESTS[1]], [REQUESTS[2]]]
    second = [[REQUESTS[3]], [REQUESTS[4], REQUESTS[5], REQUESTS[6]]]
    expected = np.zeros((2, 4))
    state: EditState | None = None
    for batches in (first, second):
        state = method.fit(tiny_llama, batches, state, Context()).state
        (made,) = state.deltas.values()
        assert isinstance(made, GatedSubspace)
        assert made.where == PromptEnds(0, 1)
        for s, batch in enumerate(batches):
            for request in batch:
                h = last_state(tiny_llama, request.prompt).double().numpy()
                expected[s] += gates_of(own_of(made, s), h)
        np.testing.assert_allclose(state.memory[USAGE], expected, rtol=1e-4)


def test_earlier_usage_turns_later_edits(tiny_llama: Engine) -> None:
    name, settings = METHODS["baft"]
    method = create(name, {**settings, "balance": 10.0, "locality": 0.0})
    state = method.fit(tiny_llama, [[REQUESTS[0]]], None, Context()).state

    def later(usage: torch.Tensor) -> torch.Tensor:
        before = EditState(1, state.deltas, {USAGE: usage})
        outcome = method.fit(tiny_llama, [[REQUESTS[1]]], before, Context())
        return outcome.state.memory[USAGE] - usage

    # Of two equal bases the one that earlier edits used up is used less.
    taken = torch.zeros(1, 4)
    taken[0, 0] = 3.0
    assert float(later(taken)[0, 0]) < float(later(torch.zeros(1, 4))[0, 0])


def test_load_balancing_counts_each_edit_of_a_batch() -> None:
    # Beside what earlier edits used, the same edit twice counts twice: as it does once beside half of that.
    tiny = engine("llama", torch.float64)
    name, settings = METHODS["baft"]
    method = create(name, {**settings, "balance": 10.0, "locality": 0.0, "retention": 0.0, "tolerance": 0})
    state = method.fit(tiny, [[REQUESTS[0]]], None, Context()).state
    used = torch.tensor([[3.0, 0.5, 0.0, 1.0]], dtype=torch.float64)

    def later(edits: int, usage: torch.Tensor) -> torch.Tensor:
        before = EditState(1, state.deltas, {USAGE: usage})
        (made,) = method.fit(tiny, [[REQUESTS[1]] * edits], before, Context()).state.deltas.values()
        return made.tensors()["gate_bias"]

    torch.testing.assert_close(later(2, used), later(1, used / 2), rtol=1e-8, atol=1e-10)
    assert not torch.allclose(later(2, used), later(1, used), rtol=1e-4)


@pytest.mark.parametrize("gate", ["sigmoid", "softmax", "constant"])
def test_a_stream_grows_by_bases_beside_those_it_has(gate: str, tiny_llama: Engine) -> None:
    name, settings = METHODS["baft growing"]
    method = create(name, {**settings, "gate": gate, "tolerance": 0})
    state: EditState | None = None
    earlier: dict[str, torch.Tensor] = {}
    for step, request in enumerate(REQUESTS[:5]):
        outcome = method.fit(tiny_llama, [[request], [REQUESTS[7 - step]]], state, Context())
        state = outcome.state
        (made,) = state.deltas.values()
        assert isinstance(made, Subspace)
        assert made.rotation.shape == (2, 4 + 2 * step, 32)
        held = sum(t[0].numel() for t in made.tensors().values()) - sum(t[0].numel() for t in earlier.values())
        assert outcome.counts() == [(held, 0)] * 2
        for key, tensor in earlier.items():
            assert torch.equal(made.tensors()[key][:, : tensor.shape[1]], tensor), (step, key)
            assert made.tensors()[key][:, tensor.shape[1] :].any()
        rows = made.rotation[:, -2 if step else 0 :].double()
        identity = torch.eye(rows.shape[1], dtype=torch.float64).expand(2, -1, -1)
        torch.testing.assert_close(rows @ rows.mT, identity, atol=1e-5, rtol=0)
        earlier = made.tensors()


def test_usage_of_a_growing_stream_is_that_of_the_bases_it_had(tiny_llama: Engine) -> None:
    name, settings = METHODS["baft growing"]
    method = create(name, settings)
    state: EditState | None = None
    expected = np.zeros(0)
    for request in REQUESTS[:3]:
        state = method.fit(tiny_llama, [[request]], state, Context()).state
        (made,) = state.deltas.values()
        assert isinstance(made, GatedSubspace)
        gates = gates_of(own_of(made, 0), last_state(tiny_llama, request.prompt).double().numpy())
        expected = np.pad(expected, (0, len(gates) - len(expected))) + gates
        np.testing.assert_allclose(state.memory[USAGE][0], expected, rtol=1e-4)


@pytest.mark.parametrize("gate", ["sigmoid", "softmax", "constant"])
def test_growing_streams_with_different_failures_are_those_run_alone(gate: str) -> None:
    name, settings = METHODS["baft growing"]
    method, tiny = create(name, {**settings, "gate": gate, "tolerance": 4.7}), engine("llama", torch.float64)
    # What a stream has not got, another has: the zeros that stand for it must do nothing.
    plans = [[0, 1, 2], [None, 3, 4], [5, None, 6], [None, None, 7]]
    state: EditState | None = None
    for step in range(3):
        batches = [[REQUESTS[plan[step] or 0]] for plan in plans]
        outcome = method.fit(tiny, batches, state, Context())
        # Later steps have streams that leave the batch before others do.
        assert len({report.steps for report in outcome.trainings}) > (1 if step else 0)
        state = outcome.state.put_back([s for s, plan in enumerate(plans) if plan[step] is None], state)
    for s, plan in enumerate(plans):
        alone: EditState | None = None
        for number in plan:
            if number is not None:
                alone = method.fit(tiny, [[REQUESTS[number]]], alone, Context()).state
        assert state is not None and alone is not None
        (one,), (other,) = state.select([s]).deltas.values(), alone.deltas.values()
        assert isinstance(one, Subspace) and isinstance(other, Subspace)
        there = one.bases()[0]
        for key, tensor in other.tensors().items():
            torch.testing.assert_close(one.tensors()[key][:, there], tensor, atol=1e-8, rtol=1e-8)
            assert not one.tensors()[key][:, ~there].any()
        torch.testing.assert_close(state.memory[USAGE][s][there], alone.memory[USAGE][0], atol=1e-8, rtol=1e-8)
        assert not state.memory[USAGE][s][~there].any()
        remembered = state.memory[STATES][s]
        assert torch.equal(remembered[remembered.any(-1)], alone.memory[STATES][0])
        h = states(1, 3, 32, seed=6).double()
        torch.testing.assert_close(
            one.update(h, h, torch.arange(1)), other.update(h, h, torch.arange(1)), atol=1e-8, rtol=1e-8
        )


def test_a_grown_update_is_the_sum_of_what_each_step_added(tiny_llama: Engine) -> None:
    name, settings = METHODS["baft growing"]
    method = create(name, {**settings, "grow": 20})
    h = states(1, 3, 32, seed=7)
    state: EditState | None = None
    total, had = torch.zeros_like(h), 0
    # More bases than the hidden state has dimensions are no mistake.
    for request, count in zip(REQUESTS[:3], (4, 24, 44), strict=True):
        state = method.fit(tiny_llama, [[request]], state, Context()).state
        (made,) = state.deltas.values()
        assert isinstance(made, GatedSubspace) and made.rotation.shape == (1, count, 32)
        added = made.with_tensors({key: tensor[:, had:] for key, tensor in made.tensors().items()})
        total, had = total + added.update(h, h, torch.arange(1)), count
        torch.testing.assert_close(made.update(h, h, torch.arange(1)), total)
