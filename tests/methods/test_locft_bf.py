"""LocFT-BF against its loop written out in plain PyTorch."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch.nn import functional

from baft.engine.engine import Engine
from baft.engine.sites import Site
from baft.errors import UserError
from baft.methods.base import Context, Request, generator
from baft.methods.locft_bf import ended_row
from baft.methods.registry import create
from tests.engine.test_fitting import REQUESTS
from tests.engine.tiny import engine

SITE = Site(1, "mlp.down_proj")
SETTINGS = {"layer": 1, "epochs": 5, "lr": 1e-2, "tolerance": 0, "batch": 100}


@pytest.fixture
def tiny() -> Engine:
    return engine("llama", torch.float64)


def plainly_tuned(
    tiny: Engine, requests: list[Request], batch: int, tolerance: float = 0.0
) -> tuple[torch.Tensor, list[float]]:
    """The change of the weight, and the losses of its steps: shuffled mini-batches, those that fit skipped."""
    model = copy.deepcopy(tiny.model.model)
    weight = model.model.layers[1].mlp.down_proj.weight
    begun = weight.data.clone()
    optimiser = torch.optim.Adam([weight.requires_grad_()], lr=SETTINGS["lr"])
    draws, steps = generator(0, *(request.id for request in requests)), []
    for _ in range(SETTINGS["epochs"]):
        order = torch.randperm(len(requests), generator=draws).tolist()
        total = 0.0
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            losses = []
            for request in (requests[i] for i in chosen):
                prompt, answer = tiny.text.prompt(request.prompt), tiny.text.answer(request.prompt, request.target)
                whole = [*answer, tiny.text.tokenizer.eos_token_id]
                logits = model(input_ids=torch.tensor([[*prompt, *whole]]), use_cache=False).logits[0]
                losses.append(functional.cross_entropy(logits[len(prompt) - 1 : -1], torch.tensor(whole)))
            loss = torch.stack(losses).mean()
            total += float(loss.detach()) * len(chosen)
            if float(loss.detach()) >= tolerance:
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                steps.append(float(loss.detach()))
        if total / len(requests) < tolerance:
            break
    return weight.detach() - begun, steps


@pytest.mark.parametrize("batch", [100, 3])
def test_an_edit_is_that_of_the_plain_loop(tiny: Engine, batch: int) -> None:
    method = create("locft_bf", {**SETTINGS, "batch": batch})
    outcome = method.fit(tiny, [REQUESTS, REQUESTS[:2]], None, Context())
    for s, requests in enumerate((REQUESTS, REQUESTS[:2])):
        change, steps = plainly_tuned(tiny, requests, batch)
        found = outcome.state.deltas[SITE].tensors()["change"][s]
        torch.testing.assert_close(found, change, atol=1e-8, rtol=1e-6)
        assert outcome.trainings[s].steps == len(steps) == SETTINGS["epochs"] * math.ceil(len(requests) / batch)


def test_mini_batches_that_fit_are_skipped_and_an_epoch_that_fits_is_the_last(tiny: Engine) -> None:
    # Between the losses of the last epoch, so that some batches are skipped and others are not.
    tolerance = sum(sorted(plainly_tuned(tiny, REQUESTS, 3)[1][-3:])[:2]) / 2
    change, steps = plainly_tuned(tiny, REQUESTS, 3, tolerance)
    assert 3 < len(steps) < SETTINGS["epochs"] * 3
    outcome = create("locft_bf", {**SETTINGS, "batch": 3, "tolerance": tolerance}).fit(
        tiny, [REQUESTS], None, Context()
    )
    assert outcome.trainings[0].steps == len(steps)
    torch.testing.assert_close(outcome.state.deltas[SITE].tensors()["change"][0], change, atol=1e-8, rtol=1e-6)


def test_a_stream_is_trained_and_reported_as_alone_whichever_stand_beside_it(tiny: Engine) -> None:
    method = create("locft_bf", {**SETTINGS, "batch": 3})
    batches = [REQUESTS[:1], REQUESTS[1:3], REQUESTS, REQUESTS[3:4]]
    first = method.fit(tiny, batches, None, Context())
    second = method.fit(tiny, batches[::-1], first.state, Context())
    for s in range(4):
        alone = method.fit(tiny, [batches[s]], None, Context())
        later = method.fit(tiny, [batches[3 - s]], alone.state, Context())
        for found, expected in ((first, alone), (second, later)):
            assert found.trainings[s].steps == expected.trainings[0].steps
            assert found.trainings[s].loss == pytest.approx(expected.trainings[0].loss, abs=1e-8)
            change, own = (outcome.state.deltas[SITE].tensors()["change"] for outcome in (found, expected))
            torch.testing.assert_close(change[s], own[0], atol=1e-8, rtol=1e-6)


def test_every_row_ends_in_the_end_token(tiny: Engine) -> None:
    row = ended_row(tiny, 0, REQUESTS[0])
    answer = tiny.text.answer(REQUESTS[0].prompt, REQUESTS[0].target)
    assert [token for _, token in row.reads] == [*answer, tiny.text.tokenizer.eos_token_id]
    assert row.ids[-len(answer) :] == tuple(answer)


def test_the_first_step_moves_every_entry_by_the_rate(tiny: Engine) -> None:
    outcome = create("locft_bf", {**SETTINGS, "epochs": 1}).fit(tiny, [REQUESTS], None, Context())
    change = outcome.state.deltas[SITE].tensors()["change"][0]
    torch.testing.assert_close(change.abs(), torch.full_like(change, SETTINGS["lr"]), atol=1e-4, rtol=0)


def test_an_epoch_that_is_not_finite_leaves_the_stream_as_it_was(tiny: Engine) -> None:
    wild = create("locft_bf", {**SETTINGS, "batch": 3, "lr": 1e200})
    outcome = wild.fit(tiny, [REQUESTS], None, Context())
    assert "not finite" in (outcome.trainings[0].error or "")
    assert not outcome.state.edited.any()


def test_a_tokenizer_without_an_end_token_is_refused(tiny: Engine) -> None:
    endless = copy.deepcopy(tiny.text.tokenizer)
    endless.eos_token = None
    with pytest.raises(UserError, match="has no end token"):
        create("locft_bf", SETTINGS).check(Engine.of(tiny.model.model, endless, token_budget=512), Context())
