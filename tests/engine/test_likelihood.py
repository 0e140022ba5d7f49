from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from baft.engine import likelihood
from baft.engine.likelihood import Head, Judged, forced_nll, judge

VOCABULARY, WIDTH = 11, 5
DRAW = torch.Generator().manual_seed(0)
WEIGHT = torch.randn(VOCABULARY, WIDTH, dtype=torch.float64, generator=DRAW)
STATES = torch.randn(7, WIDTH, dtype=torch.float64, generator=DRAW)
POSITION = torch.tensor([0, 2, 2, 3, 6, 0, 5])
TARGETS = torch.tensor([1, 0, 10, 4, 4, 1, 9])


def head(states: Tensor) -> Tensor:
    """With a soft cap, as Gemma 2 has, so that no linear head is assumed."""
    return 3 * torch.tanh(states @ WEIGHT.to(states.dtype).T / 3)


@pytest.fixture(params=[1, 2, 3, 100], ids=lambda rows: f"{rows} rows at once", autouse=True)
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likelihood, "CHUNK", request.param * VOCABULARY + 1)


def plain(states: Tensor) -> Tensor:
    nll = functional.cross_entropy(head(states)[POSITION], TARGETS, reduction="none")
    return torch.stack([nll[place == POSITION].sum() for place in range(len(states))])


def test_sums_and_gradients_are_those_of_plain_cross_entropy() -> None:
    weights = torch.linspace(-1, 2, len(STATES), dtype=torch.float64)
    found, expected = (STATES.clone().requires_grad_() for _ in range(2))
    sums = forced_nll(found, POSITION, TARGETS, head, VOCABULARY, torch.float64)
    torch.testing.assert_close(sums, plain(expected), rtol=1e-12, atol=1e-12)
    # Each place's loss by a weight of its own, as a mean over rows of different lengths has it.
    (sums * weights).sum().backward()
    (plain(expected) * weights).sum().backward()
    torch.testing.assert_close(found.grad, expected.grad, rtol=1e-12, atol=1e-12)
    assert sums[[1, 4]].tolist() == [0, 0]


def test_the_gradient_passes_a_numerical_check() -> None:
    states = STATES.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda s: forced_nll(s, POSITION, TARGETS, head, VOCABULARY, torch.float64), (states,)
    )


def test_a_model_of_lower_precision_has_its_losses_summed_in_float32() -> None:
    states = STATES.bfloat16().requires_grad_()
    sums = forced_nll(states, POSITION, TARGETS, head, VOCABULARY, torch.float32)
    expected = functional.cross_entropy(head(states)[POSITION].float(), TARGETS, reduction="none")
    assert sums.dtype == torch.float32
    torch.testing.assert_close(sums[3], expected[3], rtol=1e-6, atol=1e-6)
    sums.sum().backward()
    assert states.grad is not None and states.grad.dtype == torch.bfloat16


def test_without_gradients_none_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.autograd, "grad", lambda *args, **kwargs: pytest.fail("a gradient was computed"))
    sums = forced_nll(STATES, POSITION, TARGETS, head, VOCABULARY, torch.float64)
    torch.testing.assert_close(sums, plain(STATES))


def test_states_that_are_no_numbers_spoil_their_own_place_alone() -> None:
    broken = STATES.clone()
    broken[3] = torch.nan
    sums = forced_nll(broken, POSITION, TARGETS, head, VOCABULARY, torch.float64)
    assert sums.isnan().tolist() == [False, False, False, True, False, False, False]
    judged = judge(
        broken, POSITION, TARGETS, torch.tensor([], dtype=torch.int64), STATES[:0], head, VOCABULARY, torch.float64
    )
    assert torch.tensor(judged.logprobs).isnan().tolist() == (POSITION == 3).tolist()


def test_what_is_judged_is_what_plain_softmax_says() -> None:
    before = torch.randn(3, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    compared = torch.tensor([0, 3, 4])
    judged = judge(STATES, POSITION, TARGETS, compared, before, head, VOCABULARY, torch.float64)
    p = head(STATES).softmax(-1)
    assert judged.choices == p.argmax(-1).tolist()
    assert judged.logprobs == pytest.approx(p[POSITION, TARGETS].log().tolist(), abs=1e-12)
    q = head(before).softmax(-1)
    assert judged.kl == pytest.approx((q * (q / p[compared]).log()).sum(-1).tolist(), abs=1e-12)


def test_logits_that_are_known_are_not_made_again() -> None:
    none = torch.tensor([], dtype=torch.int64)

    def judged(make: Head, logits: Tensor | None) -> Judged:
        return judge(STATES, POSITION, TARGETS, none, STATES[:0], make, VOCABULARY, torch.float64, logits)

    known, made = judged(lambda states: pytest.fail("the head was asked"), head(STATES)), judged(head, None)
    assert (known.choices, known.kl) == (made.choices, made.kl)
    # The head multiplies another number of rows at once, which rounds otherwise.
    assert known.logprobs == pytest.approx(made.logprobs, abs=1e-12)
