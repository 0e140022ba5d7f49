"""FT-L's objective against plain forwards of a model whose weights were changed, and its bound."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from baft.engine.deltas import Dense
from baft.engine.engine import Engine
from baft.engine.sites import Site
from baft.methods.base import Context, Request
from baft.methods.registry import create
from tests.engine.test_fitting import REQUESTS

SITE = Site(1, "mlp.down_proj")
SETTINGS = {"layer": 1, "steps": 8, "lr": 1e-2, "bound": 2e-2, "tolerance": 0}


def loss(tiny: Engine, request: Request, change: Tensor | None) -> float:
    """The mean negative log-probability of the target's tokens at the last prompt token."""
    model = copy.deepcopy(tiny.model.model)
    if change is not None:
        model.model.layers[1].mlp.down_proj.weight.data += change
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([tiny.text.prompt(request.prompt)]), use_cache=False).logits[0, -1]
    answer = tiny.text.answer(request.prompt, request.target)
    return -float(logits.log_softmax(-1)[answer].mean())


def test_training_lowers_the_loss_at_the_last_prompt_token(tiny_llama: Engine) -> None:
    outcome = create("ft_l", SETTINGS).fit(tiny_llama, [[r] for r in REQUESTS], None, Context())
    (delta,) = outcome.state.deltas.values()
    assert isinstance(delta, Dense)
    for s, request in enumerate(REQUESTS):
        after = loss(tiny_llama, request, delta.change[s])
        assert outcome.trainings[s].loss == pytest.approx(after, rel=1e-4)
        assert after < loss(tiny_llama, request, None) - 0.1


def test_the_objective_is_not_ft_ms_where_an_answer_is_of_several_tokens(tiny_llama: Engine) -> None:
    changes = [
        create(name, SETTINGS).fit(tiny_llama, [[REQUESTS[0]]], None, Context()).state.deltas[SITE].tensors()["change"]
        for name in ("ft_l", "ft_m")
    ]
    assert len(tiny_llama.text.answer(REQUESTS[0].prompt, REQUESTS[0].target)) > 1
    assert not torch.allclose(*changes)


def test_every_edit_stays_within_the_bound_by_itself(tiny_llama: Engine) -> None:
    method = create("ft_l", SETTINGS)
    first = method.fit(tiny_llama, [[r] for r in REQUESTS[:4]], None, Context()).state
    second = method.fit(tiny_llama, [[r] for r in REQUESTS[4:]], first, Context()).state
    one, both = (state.deltas[SITE].tensors()["change"] for state in (first, second))
    # Rates and steps reach further, so that the bound is met.
    bound = torch.tensor(SETTINGS["bound"])
    assert float(one.abs().max()) == float(bound)
    assert float((both - one).abs().max()) <= float(bound) * (1 + 1e-5)
    assert float(both.abs().max()) > float(bound)


def test_without_a_bound_the_steps_are_what_limits_the_change(tiny_llama: Engine) -> None:
    method = create("ft_l", {**SETTINGS, "bound": 0})
    outcome = method.fit(tiny_llama, [[REQUESTS[0]]], None, Context())
    assert float(outcome.state.deltas[SITE].tensors()["change"].abs().max()) > SETTINGS["bound"]
    assert outcome.trained == outcome.changed == 32 * 48
