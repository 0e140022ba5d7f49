"""FT-M against fine-tuning of the weight itself in plain PyTorch."""

from __future__ import annotations

import copy

import torch
from torch.nn import functional

from baft.engine.deltas import Dense
from baft.engine.engine import Engine
from baft.engine.sites import Site
from baft.methods.base import Context, Request
from baft.methods.registry import create
from tests.engine.test_fitting import REQUESTS
from tests.engine.tiny import engine

SITE = Site(1, "mlp.down_proj")
SETTINGS = {"layer": 1, "steps": 6, "lr": 1e-2, "tolerance": 0}


def plainly_tuned(tiny: Engine, requests: list[Request], start: torch.Tensor, bound: float) -> torch.Tensor:
    """The change of the weight after the same steps of PyTorch's Adam, on a model that begins with ``start`` added."""
    model = copy.deepcopy(tiny.model.model)
    weight = model.model.layers[1].mlp.down_proj.weight
    weight.data += start
    begun = weight.data.clone()
    weight.requires_grad_()
    optimiser = torch.optim.Adam([weight], lr=SETTINGS["lr"])
    for _ in range(SETTINGS["steps"]):
        losses = []
        for request in requests:
            prompt, answer = tiny.text.prompt(request.prompt), tiny.text.answer(request.prompt, request.target)
            logits = model(input_ids=torch.tensor([[*prompt, *answer]]), use_cache=False).logits[0]
            losses.append(functional.cross_entropy(logits[len(prompt) - 1 : -1], torch.tensor(answer)))
        optimiser.zero_grad()
        torch.stack(losses).mean().backward()
        optimiser.step()
        if bound:
            weight.data.clamp_(begun - bound, begun + bound)
    return weight.detach() - begun


def test_a_stream_is_tuned_as_the_weight_itself_would_be() -> None:
    tiny = engine("llama", torch.float64)
    method = create("ft_m", SETTINGS)
    batches = [[REQUESTS[0]], REQUESTS[1:3]]
    first = method.fit(tiny, batches, None, Context())
    second = method.fit(tiny, [[REQUESTS[3]], [REQUESTS[4]]], first.state, Context())
    for s, (batch, later) in enumerate(zip(batches, (REQUESTS[3], REQUESTS[4]), strict=True)):
        once = plainly_tuned(tiny, batch, torch.zeros(()), 0)
        twice = once + plainly_tuned(tiny, [later], once, 0)
        for state, expected in ((first.state, once), (second.state, twice)):
            delta = state.deltas[SITE]
            assert isinstance(delta, Dense)
            torch.testing.assert_close(delta.change[s], expected, atol=1e-9, rtol=1e-6)
    assert first.trained == first.changed == 32 * 48


def test_a_bound_holds_every_entry_of_one_edit() -> None:
    tiny = engine("llama", torch.float64)
    outcome = create("ft_m", {**SETTINGS, "bound": 2e-2}).fit(tiny, [[REQUESTS[0]]], None, Context())
    change = outcome.state.deltas[SITE].tensors()["change"][0]
    torch.testing.assert_close(change, plainly_tuned(tiny, [REQUESTS[0]], torch.zeros(()), 2e-2), atol=1e-9, rtol=1e-6)
    assert float(change.abs().max()) == torch.tensor(2e-2, dtype=torch.float64)
