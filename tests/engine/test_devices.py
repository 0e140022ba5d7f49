"""A model spread over two devices: edits and answers are those on one, and every delta lies beside its site."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from accelerate import dispatch_model

from baft.engine.asking import Decoding, Question
from baft.engine.engine import Engine
from baft.engine.saved import load_state, save_state
from baft.engine.state import EditState
from baft.methods.base import Context
from baft.methods.registry import create
from tests.engine.devices import FIRST, SECOND, Devices, Mixed, lies, put, spread
from tests.engine.test_fitting import METHODS, REQUESTS, fit
from tests.engine.tiny import engine

DOUBLE = torch.float64


def edited(tiny: Engine, name: str, tolerance: float, folder: Path) -> tuple[EditState, list[object]]:
    """Two steps of two streams, the second from what was saved of the first; and what the edited model says."""
    kind, settings = METHODS[name]
    method = create(kind, {**settings, "tolerance": tolerance})
    steps = [[[REQUESTS[0]], [REQUESTS[1]]], [[REQUESTS[2]], [REQUESTS[3], REQUESTS[4]]]]
    state, taken = None, []
    for batches in steps:
        outcome = method.fit(tiny, batches, state, Context(0))
        assert [report.error for report in outcome.trainings] == [None, None]
        taken.append([report.steps for report in outcome.trainings])
        save_state(outcome.state, folder, {})
        state, _ = load_state(folder, tiny.model)
    assert state is not None
    # One stream leaves the batch before the other.
    assert len(set(taken[0])) == 2
    prompts = [tuple(tiny.text.prompt(request.prompt)) for request in REQUESTS[:4]]
    answers = tuple(tuple(tiny.text.answer(request.prompt, request.target)) for request in REQUESTS[:2])
    questions = [Question(s % 2, prompt, answers) for s, prompt in enumerate(prompts)]
    return state, list(tiny.ask(state, questions, Decoding(5)))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("name", ["baft", "baft growing", "reft", "ft_l", "lora", "rome"])
def test_a_model_on_two_devices_is_edited_as_on_one(name: str, kind: str, tmp_path: Path) -> None:
    tiny = engine(kind, DOUBLE)
    early = fit(tiny, name, [[REQUESTS[0]], [REQUESTS[1]]], steps=4).trainings
    between = sum(report.loss or 0.0 for report in early) / 2
    alone, said = edited(tiny, name, between, tmp_path)
    with spread(tiny.model.model, tiny.model.blocks):
        apart = Engine.of(tiny.model.model, tiny.text.tokenizer, token_budget=512)
        state, answers = edited(apart, name, between, tmp_path)
        places = {site: {lies(t) for t in delta.tensors().values()} for site, delta in state.deltas.items()}
        assert places == {site: {SECOND if site.layer else FIRST} for site in places}
        assert SECOND in set().union(*places.values())
    for site, delta in alone.deltas.items():
        for tensor, other in zip(delta.tensors().values(), state.deltas[site].tensors().values(), strict=True):
            torch.testing.assert_close(other, tensor, rtol=1e-8, atol=1e-10)
    for one, other in zip(said, answers, strict=True):
        assert one.decoded == other.decoded  # type: ignore[attr-defined]
        for a, b in zip(one.forced, other.forced, strict=True):  # type: ignore[attr-defined]
            assert b.logprob == pytest.approx(a.logprob, abs=1e-9)


def test_tensors_of_two_devices_do_not_mix() -> None:
    with Devices():
        a, b = torch.zeros(2, device=FIRST), torch.zeros(2, device=SECOND)
        assert (a.device, b.device) == (FIRST, SECOND)
        assert (a.to(SECOND) + b).device == SECOND
        with pytest.raises(Mixed, match="cuda:0, cuda:1"):
            a + b
        with pytest.raises(Mixed):
            a[torch.tensor([0], device=SECOND)]
        with pytest.raises(Mixed):
            torch.cat([a, put(torch.zeros(2), torch.device("cpu"))])


def test_forwards_of_accelerate_survive_passes_that_skip_blocks() -> None:
    tiny = engine("llama")
    own = create(*METHODS["reft"]).fit(tiny, [[REQUESTS[0]]], None, Context(0))
    # A copy, for accelerate leaves its forwards in place.
    copy = type(tiny.model.model)(tiny.model.model.config)
    copy.load_state_dict(tiny.model.model.state_dict())
    model = dispatch_model(copy, {"": "cpu"}, force_hooks=True)
    apart = Engine.of(model, tiny.text.tokenizer, token_budget=512)
    hooked = [block.forward for block in apart.model.blocks]
    other = create(*METHODS["reft"]).fit(apart, [[REQUESTS[0]]], None, Context(0))
    assert [block.forward for block in apart.model.blocks] == hooked
    for site, delta in own.state.deltas.items():
        for name, tensor in delta.tensors().items():
            assert torch.equal(other.state.deltas[site].tensors()[name], tensor)
