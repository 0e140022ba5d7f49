"""Gradient descent against PyTorch's."""

from __future__ import annotations

import pytest
import torch

from baft.engine.sgd import Sgd


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_steps_are_those_of_torch(decay: float) -> None:
    start = {"a": torch.randn(3, 2, dtype=torch.float64), "b": torch.randn(3, dtype=torch.float64)}
    ours = {name: p.clone() for name, p in start.items()}
    theirs = {name: p.clone().requires_grad_() for name, p in start.items()}
    rates = {"a": 0.5, "b": 0.25}
    optimiser = torch.optim.SGD([{"params": [theirs[n]], "lr": rates[n]} for n in rates], weight_decay=decay)
    mine = Sgd(ours, rates, decay)
    for step in range(3):
        grads = {name: torch.sin(p + step) for name, p in ours.items()}
        for name, p in theirs.items():
            p.grad = grads[name].clone()
        mine.step(ours, grads)
        optimiser.step()
    for name, p in theirs.items():
        torch.testing.assert_close(ours[name], p.detach())


def test_each_streams_gradients_are_shortened_as_by_torch() -> None:
    grads = {"a": torch.randn(3, 2, 2, dtype=torch.float64), "b": torch.randn(3, 5, dtype=torch.float64)}
    # Of three streams one is long, one short and one without a gradient.
    grads = {
        name: grad * torch.tensor([9, 0.01, 0]).reshape(-1, *[1] * (grad.dim() - 1)) for name, grad in grads.items()
    }
    ours = {name: torch.zeros_like(grad) for name, grad in grads.items()}
    Sgd(ours, 1.0, longest=0.5).step(ours, grads)
    for s in range(3):
        theirs = [grads[name][s].clone().requires_grad_() for name in ours]
        for p in theirs:
            p.grad = p.detach().clone()
        torch.nn.utils.clip_grad_norm_(theirs, 0.5)
        for name, p in zip(ours, theirs, strict=True):
            torch.testing.assert_close(ours[name][s], -p.grad)
    norms = torch.cat([ours["a"].flatten(1), ours["b"]], 1).norm(dim=1)
    assert norms.tolist() == pytest.approx(
        [0.5, float(torch.cat([grads["a"][1].flatten(), grads["b"][1]]).norm()), 0], rel=1e-5
    )
