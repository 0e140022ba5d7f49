"""LoRA against adapters written out in plain PyTorch."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional

from baft.engine.asking import Decoding, Question
from baft.engine.deltas import LowRank
from baft.engine.engine import Engine
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.methods.base import Context, Request
from baft.methods.registry import create
from tests.engine.test_fitting import REQUESTS
from tests.engine.tiny import PROMPTS, engine

RANK, ALPHA, LR = 2, 12.0, 1e-2
SETTINGS = {"rank": RANK, "alpha": ALPHA, "lr": LR, "steps": 5, "tolerance": 0}


def start(tiny: Engine) -> dict[Site, LowRank]:
    """The adapters before the first step, of every request's stream: a tolerance met at once gives them back."""
    method = create("lora", {**SETTINGS, "tolerance": 1e9})
    outcome = method.fit(tiny, [[r] for r in REQUESTS], None, Context())
    assert {report.steps for report in outcome.trainings} == {0}
    return dict(outcome.state.deltas)  # type: ignore[arg-type]


def test_at_the_start_the_model_is_the_unedited_one(tiny: Engine) -> None:
    begun = start(tiny)
    assert len(begun) == 3 * len(tiny.model.architecture.attention)
    for delta in begun.values():
        assert delta.down.flatten(1).any(1).all()
        assert not delta.up.any()
    asked = [Question(s, tuple(tiny.text.prompt(p)), ((5,),)) for s, p in enumerate(PROMPTS)]
    edited, plain = (tiny.ask(state, asked, Decoding(3, ())) for state in (EditState(len(PROMPTS), begun), None))
    assert edited == plain


def plainly_trained(
    tiny: Engine, request: Request, begun: dict[Site, LowRank], stream: int
) -> dict[Site, torch.Tensor]:
    """ΔW = (α / r) B A of every adapted layer after the same steps of PyTorch's Adam."""
    model = copy.deepcopy(tiny.model.model)
    adapters: dict[Site, tuple[torch.Tensor, torch.Tensor]] = {}
    for site, delta in begun.items():
        a = delta.down[stream].clone().requires_grad_()
        b = torch.zeros(delta.up.shape[2], RANK, dtype=a.dtype, requires_grad=True)
        adapters[site] = (a, b)

        def add(module, args, output, a=a, b=b):
            return output + (ALPHA / RANK) * (args[0] @ a.T) @ b.T

        model.get_submodule(f"model.layers.{site.layer}.{site.module}").register_forward_hook(add)
    optimiser = torch.optim.Adam([p for pair in adapters.values() for p in pair], lr=LR)
    prompt = tiny.text.prompt(request.prompt)
    answer = tiny.text.answer(request.prompt, request.target)
    for _ in range(SETTINGS["steps"]):
        optimiser.zero_grad()
        logits = model(input_ids=torch.tensor([[*prompt, *answer]]), use_cache=False).logits[0]
        functional.cross_entropy(logits[len(prompt) - 1 : -1], torch.tensor(answer)).backward()
        optimiser.step()
    return {site: ((ALPHA / RANK) * b @ a).detach() for site, (a, b) in adapters.items()}


def test_training_is_that_of_plain_adapters() -> None:
    tiny = engine("llama", torch.float64)
    outcome = create("lora", SETTINGS).fit(tiny, [[r] for r in REQUESTS], None, Context())
    begun = start(tiny)
    for s in (0, 2):
        for site, expected in plainly_trained(tiny, REQUESTS[s], begun, s).items():
            trained = outcome.state.deltas[site].tensors()
            torch.testing.assert_close(trained["up"][s].T @ trained["down"][s], expected, atol=1e-9, rtol=1e-6)
            assert expected.abs().max() > 1e-3


def test_a_stream_goes_on_with_its_adapters(tiny_llama: Engine) -> None:
    first = create("lora", SETTINGS).fit(tiny_llama, [[REQUESTS[0]]], None, Context()).state
    unmoved = create("lora", {**SETTINGS, "tolerance": 1e9})
    again = unmoved.fit(tiny_llama, [[REQUESTS[1]]], first, Context()).state
    for site, delta in first.deltas.items():
        torch.testing.assert_close(again.deltas[site].tensors(), delta.tensors())


@pytest.mark.parametrize(("first", "layers"), [(0, [0, 1, 2]), (2, [2]), (0.4, [1, 2])])
def test_adapters_begin_at_the_first_block(first: float, layers: list[int], tiny_llama: Engine) -> None:
    outcome = create("lora", {**SETTINGS, "steps": 1, "first": first}).fit(tiny_llama, [[REQUESTS[0]]], None, Context())
    assert sorted({site.layer for site in outcome.state.deltas}) == layers
    # q_proj is 32 by 32, v_proj 32 by 16.
    trained, changed = RANK * ((32 + 32) + (32 + 16)), 32 * 32 + 32 * 16
    assert outcome.counts() == [(len(layers) * trained, len(layers) * changed)]
