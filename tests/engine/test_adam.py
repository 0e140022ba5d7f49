from __future__ import annotations

import torch

from baft.engine.adam import Adam


def test_updates_are_those_of_torch() -> None:
    draw = torch.Generator().manual_seed(0)
    params = {"a": torch.randn(3, 4, generator=draw), "b": torch.randn(3, 2, 2, generator=draw)}
    theirs = {name: p.clone().requires_grad_() for name, p in params.items()}
    rates = {"a": 0.1, "b": 0.01}
    groups = [{"params": [theirs[name]], "lr": rates[name]} for name in params]
    reference, own = torch.optim.Adam(groups), Adam(params, rates)
    for _ in range(20):
        grads = {name: torch.randn(p.shape, generator=draw) for name, p in params.items()}
        for name, p in theirs.items():
            p.grad = grads[name].clone()
        reference.step()
        own.step(params, grads)
    for name, p in params.items():
        torch.testing.assert_close(p, theirs[name].detach())


def test_streams_that_stay_go_on_as_if_the_others_had() -> None:
    draw = torch.Generator().manual_seed(0)
    whole = {"a": torch.randn(4, 3, generator=draw)}
    part = {"a": whole["a"].clone()}
    both, leaving = Adam(whole, 0.1), Adam(part, 0.1)
    keep = torch.tensor([1, 3])
    for step in range(6):
        grad = torch.randn(4, 3, generator=draw)
        both.step(whole, {"a": grad})
        if step == 3:
            part = {"a": part["a"][keep]}
            leaving.keep(keep)
        leaving.step(part, {"a": grad if step < 3 else grad[keep]})
    torch.testing.assert_close(part["a"], whole["a"][keep])


def test_how_a_gradient_lies_in_memory_does_not_matter() -> None:
    draw = torch.Generator().manual_seed(0)
    grad = torch.randn(2, 5, 3, generator=draw)
    found = []
    for own in (grad, grad.mT.contiguous().mT):
        params = {"a": torch.zeros(2, 5, 3)}
        adam = Adam(params, 0.1)
        adam.step(params, {"a": own})
        adam.step(params, {"a": own.square()})
        found.append(params["a"])
    assert found[0].unique().numel() > 1
    assert torch.equal(found[0], found[1])
