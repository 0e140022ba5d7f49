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
