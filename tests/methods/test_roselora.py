"""RoseLoRA against its authors' steps written out in plain PyTorch."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional

from baft.engine.engine import Engine
from baft.engine.sites import Site
from baft.methods.base import Context, Request
from baft.methods.registry import create
from baft.methods.roselora import density_after
from baft.methods.settings.roselora import Settings
from tests.engine.test_fitting import REQUESTS
from tests.engine.tiny import engine

SETTINGS = {
    "rank": 2, "alpha": 12.0, "steps": 9, "lr": 2e-2, "tolerance": 0,
    "density": 0.25, "dense_steps": 2, "sparse_from": 6, "clamp": 3e-2,
}  # fmt: skip
SCALE = 6.0


@pytest.fixture
def tiny() -> Engine:
    return engine("llama", torch.float64)


def plainly_trained(tiny: Engine, request: Request, downs: dict[Site, torch.Tensor]) -> dict[Site, torch.Tensor]:
    """(α / r) B A of every adapted layer; importance, thresholds and clipping as in the authors' loop."""
    model = copy.deepcopy(tiny.model.model)
    factors: dict[Site, tuple[torch.Tensor, torch.Tensor]] = {}
    for site, down in downs.items():
        a, b = (
            down.clone().requires_grad_(),
            torch.zeros(site_width(tiny, site), 2, dtype=down.dtype, requires_grad=True),
        )
        factors[site] = (a, b)

        def add(module, args, output, a=a, b=b):
            return output + SCALE * (args[0] @ a.T) @ b.T

        model.get_submodule(f"model.layers.{site.layer}.{site.module}").register_forward_hook(add)
    every = [p for pair in factors.values() for p in pair]
    optimiser = torch.optim.Adam(every, lr=2e-2)
    prompt, answer = tiny.text.prompt(request.prompt), tiny.text.answer(request.prompt, request.target)
    importance: dict[int, torch.Tensor] = {}
    for it in range(9):
        rate = 1.0 if it < 2 else 0.25
        if 2 <= it < 6:
            rate = 0.25 + 0.75 * (1 - (it - 2) / 4) ** 3
        optimiser.zero_grad()
        logits = model(input_ids=torch.tensor([[*prompt, *answer]]), use_cache=False).logits[0]
        functional.cross_entropy(logits[len(prompt) - 1 : -1], torch.tensor(answer)).backward()
        for p in every:
            now = (p.grad * p).abs().detach()
            importance[id(p)] = now if it == 0 else 0.8 * importance[id(p)] + 0.2 * now
        optimiser.step()
        if rate < 1:
            for pair in factors.values():
                for p, along in zip(pair, (1, 0), strict=True):
                    known = importance[id(p)]
                    least = torch.kthvalue(known, int(p.shape[along] * (1 - rate)), along, True)[0]
                    p.data.masked_fill_(known < least, 0.0)
                    p.data.clamp_(-3e-2, 3e-2)
    return {site: (SCALE * b @ a).detach() for site, (a, b) in factors.items()}


def site_width(tiny: Engine, site: Site) -> int:
    return tiny.model.widths(site)[1]


def test_an_edit_is_that_of_the_plain_loop(tiny: Engine) -> None:
    unmoved = create("lora", {"rank": 2, "alpha": 12.0, "steps": 1, "tolerance": 1e9})
    start = unmoved.fit(tiny, [[r] for r in REQUESTS], None, Context()).state.deltas
    outcome = create("roselora", SETTINGS).fit(tiny, [[r] for r in REQUESTS], None, Context())
    for s in (0, 2):
        expected = plainly_trained(tiny, REQUESTS[s], {site: d.tensors()["down"][s] for site, d in start.items()})
        for site, change in expected.items():
            trained = outcome.state.deltas[site].tensors()
            torch.testing.assert_close(trained["up"][s].T @ trained["down"][s], change, atol=1e-9, rtol=1e-6)
        assert max(float(change.abs().max()) for change in expected.values()) > 1e-4


def test_the_factors_are_sparse_by_row_and_bounded(tiny: Engine) -> None:
    outcome = create("roselora", SETTINGS).fit(tiny, [[r] for r in REQUESTS], None, Context())
    for delta in outcome.state.deltas.values():
        down, up = delta.tensors()["down"], delta.tensors()["up"] / SCALE
        for factor in (down, up):
            width = factor.shape[-1]
            # The entry at the threshold stays.
            assert int((factor != 0).sum(-1).max()) <= width - int(0.75 * width) + 1
            assert float(factor.abs().max()) <= 3e-2 * (1 + 1e-9)


def test_the_density_falls_with_a_cube_between_its_two_steps() -> None:
    found = {step: density_after(step, Settings()) for step in (0, 2, 3, 4, 12, 20, 24)}
    assert found[0] == found[2] == found[3] == 1.0
    assert found[4] == pytest.approx(0.05 + 0.95 * (16 / 17) ** 3)
    assert found[12] == pytest.approx(0.05 + 0.95 * (8 / 17) ** 3)
    assert found[20] == found[24] == 0.05


def test_an_edit_ends_early_only_once_it_is_sparse(tiny: Engine) -> None:
    eager = create("roselora", {**SETTINGS, "tolerance": 1e9})
    assert eager.fit(tiny, [[REQUESTS[0]]], None, Context()).trainings[0].steps == 7


def test_steps_that_end_before_it_is_sparse_are_refused() -> None:
    with pytest.raises(ValueError, match="steps is 5, but must be more than sparse_from, which is 20"):
        Settings(steps=5)
