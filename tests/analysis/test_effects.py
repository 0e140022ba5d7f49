"""The terms of the bound, and the inequality itself, in float64: on random and on trained edits."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from baft.analysis.effects import Effects, effects_of
from baft.engine.deltas import GatedSubspace, Subspace
from baft.engine.engine import Engine
from baft.engine.positions import PromptEnds
from baft.methods.base import Context, Request
from baft.methods.registry import create
from tests.engine.tiny import PROMPTS, SUBJECTS, TARGETS

LAST = PromptEnds(0, 1)


def measured(delta: Subspace, hidden: torch.Tensor, origin: int) -> Effects:
    """The effects of a delta of one stream with the weights that it gives itself."""
    exact = delta.with_tensors({name: tensor.double() for name, tensor in delta.tensors().items()})
    weights = exact.gates(hidden.double()[None], torch.zeros(1, dtype=torch.int64))[0]
    return effects_of(delta.unweighted(), weights, hidden, origin)


def tensor(rows: list[list[float]]) -> Tensor:
    return torch.tensor([rows], dtype=torch.float64)


def edit(rank: int, width: int, scale: float, seed: int) -> Subspace:
    """A random LoReFT edit with R orthonormal in float64."""
    drawn = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(width, rank, generator=drawn, dtype=torch.float64))[0].mT
    weight = scale * torch.randn(rank, width, generator=drawn, dtype=torch.float64)
    bias = scale * torch.randn(rank, generator=drawn, dtype=torch.float64)
    return Subspace(LAST, rotation[None], weight[None], bias[None])


def states(count: int, width: int, spread: float, seed: int) -> Tensor:
    drawn = torch.Generator().manual_seed(seed)
    return spread * torch.randn(count, width, generator=drawn, dtype=torch.float64)


def assert_bounded(found: Effects) -> None:
    """‖Φ(h) − h‖ ≥ ‖R(h − t)‖ − ‖W(h − h₀)‖ ≥ ‖R(h − t)‖ − ‖W‖ ‖h − h₀‖, and ‖R(Φ(h) − t)‖ ≤ ‖W‖ ‖h − h₀‖."""
    rounding = 1e-9 * (1 + found.gap.max() + found.slope * found.distance.max())
    assert bool((found.displacement >= found.gap - found.tilt - rounding).all())
    assert bool((found.tilt <= found.slope * found.distance + rounding).all())
    assert bool((found.spread <= found.slope * found.distance + rounding).all())


def test_the_terms_in_two_dimensions_by_hand() -> None:
    # R reads the first coordinate, W the second: Φ(h) = (2 h₂ + 1, h₂).
    delta = Subspace(LAST, tensor([[1.0, 0.0]]), tensor([[0.0, 2.0]]), torch.tensor([[1.0]], dtype=torch.float64))
    found = measured(delta, torch.tensor([[3.0, 4.0], [6.0, 0.0]]), 0)
    assert found.moves.tolist() == [[6.0], [-5.0]]
    assert found.weights.tolist() == [[1.0], [1.0]]
    assert found.slope == pytest.approx(2.0, abs=1e-15)
    assert found.size.tolist() == [5.0, 6.0]
    assert found.displacement.tolist() == [6.0, 5.0]
    assert found.distance.tolist() == [0.0, 5.0]
    assert found.spread.tolist() == [0.0, 8.0], "t = (9, 4) and Φ(6, 0) = (1, 0)"
    assert found.gap.tolist() == [6.0, 3.0]
    assert found.tilt.tolist() == [0.0, 8.0]


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 5), st.integers(5, 12), st.floats(1e-3, 30), st.floats(1e-3, 1e3), st.integers(0, 2**31)
)  # fmt: skip
def test_the_bound_holds_for_random_edits(rank: int, width: int, scale: float, spread: float, seed: int) -> None:
    assert_bounded(measured(edit(rank, width, scale, seed), states(20, width, spread, seed + 1), 0))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 4), st.floats(1e-2, 10), st.floats(1e-2, 10), st.integers(0, 2**31))
def test_generality_on_a_ball_bounds_the_norm_of_w(rank: int, scale: float, radius: float, seed: int) -> None:
    """The largest spread on the sphere of radius ε is ‖W‖ ε, so that c/ε of the theorem can be no less than ‖W‖."""
    delta, h0 = edit(rank, 8, scale, seed), states(1, 8, 1.0, seed + 1)
    steepest = torch.linalg.svd(delta.weight[0])[2][:1]
    around = torch.nn.functional.normalize(states(50, 8, 1.0, seed + 2), dim=-1)
    found = measured(delta, torch.cat([h0, h0 + radius * steepest, h0 + radius * around]), 0)
    most = found.slope * radius
    assert float(found.spread.max()) == pytest.approx(most, rel=1e-9)
    assert float(found.spread[1]) == pytest.approx(most, rel=1e-9)


def test_weights_that_close_break_the_bound() -> None:
    """The same R, W and b, opened at h₀ and closed at h: it is left alone, although the bound says it must move."""
    open_at = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    plain = Subspace(LAST, tensor([[1.0, 0.0]]), tensor([[0.0, 0.0]]), torch.tensor([[10.0]], dtype=torch.float64))
    gates = {"gate_weight": tensor([[200.0, 0.0]]), "gate_bias": torch.zeros(1, 1, dtype=torch.float64)}
    gated = GatedSubspace(LAST, plain.rotation, plain.weight, plain.bias, **gates)
    hidden = torch.cat([open_at, -open_at])
    found, same = measured(gated, hidden, 0), measured(plain, hidden, 0)
    assert found.weights[0].item() == pytest.approx(1.0) and found.weights[1].item() < 1e-80
    assert found.displacement[1] < 1e-70 < 11 < found.gap[1] - found.tilt[1]
    assert_bounded(same)


@pytest.mark.parametrize("method", ["reft", "baft"])
def test_terms_of_trained_edits(tiny_llama: Engine, method: str) -> None:
    """Trained parameters: the bound holds for ReFT, and the update is the one that the model's pass adds."""
    requests = [
        [Request(str(n), prompt, target, subject)]
        for n, (prompt, subject, target) in enumerate(zip(PROMPTS[:3], SUBJECTS, TARGETS, strict=False))
    ]
    few = {"rank": 4, "steps": 8, "lr": 0.05}
    outcome = create(method, few).fit(tiny_llama, requests, None, Context(0))
    ((_, delta),) = outcome.state.deltas.items()
    assert isinstance(delta, Subspace)
    hidden = states(30, tiny_llama.model.hidden_size, 3.0, 5)
    for stream in range(3):
        one = delta.select(torch.tensor([stream]))
        found = measured(one, hidden, 0)
        update = one.update(hidden[None].float(), hidden[None].float(), torch.tensor([0]))[0]
        torch.testing.assert_close(found.displacement.float(), update.norm(dim=-1), rtol=1e-4, atol=1e-5)
        # R has orthonormal rows up to float32, so that lengths in the space and in the subspace agree to that.
        within = (found.weights * found.moves).norm(dim=-1)
        torch.testing.assert_close(found.displacement, within, rtol=1e-5, atol=1e-6)
        assert math.isfinite(found.slope) and found.slope > 0
        if method == "reft":
            exact = one.with_tensors({name: t.double() for name, t in one.tensors().items()})
            rotation = torch.linalg.qr(exact.rotation[0].mT)[0].mT[None]
            assert_bounded(measured(exact.with_tensors({**exact.tensors(), "rotation": rotation}), hidden, 0))
