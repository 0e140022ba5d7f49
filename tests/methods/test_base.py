"""What holds for every method: failed edits, and what a method sees."""

from __future__ import annotations

import copy
from dataclasses import fields, replace

import pytest
import torch

from baft.engine.asking import Decoding, Question
from baft.engine.engine import Engine
from baft.engine.frozen import FrozenModel
from baft.engine.state import EditState
from baft.methods.base import Context, Outcome, Request
from baft.methods.registry import create
from tests.engine.test_fitting import METHODS, REQUESTS
from tests.engine.tiny import PROMPTS, engine

BAD = 2
POISONED = Request("bad", "Ω is a country in", "Asia", "Ω")
BATCHES = [[REQUESTS[0]], [REQUESTS[1]], [POISONED], [REQUESTS[3]]]
OTHERS = [0, 1, 3]


@pytest.fixture(scope="module")
def poisoned() -> Engine:
    """A model that gives NaN for every text with an Ω in it, in float64."""
    good = engine("llama", torch.float64)
    model = copy.deepcopy(good.model.model)
    tokens = good.text.tokenizer("Ω").input_ids
    assert not {t for prompt in PROMPTS for t in good.text.prompt(prompt)} & set(tokens)
    model.get_input_embeddings().weight.data[tokens] = torch.nan
    return replace(good, model=FrozenModel(model, good.model.architecture))


def fit(engine: Engine, label: str, batches: list[list[Request]], state: EditState | None = None) -> Outcome:
    name, settings = METHODS[label]
    return create(name, {**settings, "tolerance": 0, "steps": 5}).fit(engine, batches, state, Context())


def answers(engine: Engine, state: EditState, streams: list[int]) -> torch.Tensor:
    """Log-probabilities of an answer to every prompt, by stream."""
    rows = [
        Question(s, tuple(engine.text.prompt(p)), (tuple(engine.text.answer(p, "Rome")),))
        for s in streams
        for p in PROMPTS
    ]
    return torch.tensor([r.forced[0].logprob for r in engine.ask(state, rows, Decoding(1, ()))])


def there(memory: torch.Tensor) -> torch.Tensor:
    """The rows of one stream's memory that hold something: what streams beside it have gained are zeros in it."""
    return memory[memory.reshape(len(memory), -1).any(1)]


def close(a: EditState, b: EditState) -> None:
    assert a.deltas.keys() == b.deltas.keys()
    for site, delta in a.deltas.items():
        torch.testing.assert_close(delta.tensors(), b.deltas[site].tensors(), atol=1e-8, rtol=1e-6)
    torch.testing.assert_close(dict(a.memory), dict(b.memory), atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("label", METHODS)
def test_a_failed_stream_is_unedited_and_costs_no_other(label: str, poisoned: Engine) -> None:
    together = fit(poisoned, label, BATCHES)
    assert [report.error is not None for report in together.trainings] == [False, False, True, False]
    assert torch.equal(answers(poisoned, together.state, [BAD]), answers(poisoned, EditState(1), [0]))
    close(together.state.select(OTHERS), fit(poisoned, label, [BATCHES[s] for s in OTHERS]).state)


@pytest.mark.parametrize("label", METHODS)
def test_a_request_that_cannot_be_used_fails_alone_in_its_batch(label: str) -> None:
    tiny = engine("llama", torch.float64)
    endless = Request("endless", "France " * 600, "Rome", "France")
    state = fit(tiny, label, [[r] for r in REQUESTS[5:8]]).state
    outcome = fit(tiny, label, [[REQUESTS[0], endless, REQUESTS[1]], [REQUESTS[2]], [endless]], state)
    assert [report.error is None for report in outcome.trainings] == [True, True, False]
    for report in (outcome.trainings[0], outcome.trainings[2]):
        assert report.failed.keys() == {"endless"}
        assert "the model reads at most 512" in (report.of("endless").error or "")
    assert outcome.trainings[0].of("r0").error is outcome.trainings[0].of("r1").error is None
    without = fit(tiny, label, [[REQUESTS[0], REQUESTS[1]], [REQUESTS[2]]], state.select([0, 1])).state
    after, unchanged = answers(tiny, outcome.state, [0, 1]), answers(tiny, outcome.state, [2])
    torch.testing.assert_close(after, answers(tiny, without, [0, 1]), atol=1e-8, rtol=1e-8)
    assert torch.equal(unchanged, answers(tiny, state, [2]))


def test_an_edit_of_a_rome_batch_that_diverges_fails_alone(poisoned: Engine) -> None:
    outcome = fit(poisoned, "rome", [[REQUESTS[0], POISONED, REQUESTS[1]], [POISONED]])
    assert [report.error is None for report in outcome.trainings] == [True, False]
    assert outcome.trainings[0].failed.keys() == outcome.trainings[1].failed.keys() == {"bad"}
    without = fit(poisoned, "rome", [[REQUESTS[0], REQUESTS[1]]]).state
    torch.testing.assert_close(answers(poisoned, outcome.state, [0]), answers(poisoned, without, [0]))


@pytest.mark.parametrize("label", METHODS)
def test_a_failed_stream_keeps_its_earlier_edits(label: str, poisoned: Engine) -> None:
    earlier = fit(poisoned, label, [[r] for r in REQUESTS[4:8]]).state
    later = fit(poisoned, label, BATCHES, earlier)
    assert later.trainings[BAD].error is not None
    assert torch.equal(answers(poisoned, later.state, [BAD]), answers(poisoned, earlier, [BAD]))
    for name, memory in earlier.memory.items():
        assert torch.equal(there(later.state.memory[name][BAD]), there(memory[BAD]))
    for s in OTHERS:
        assert not torch.equal(answers(poisoned, later.state, [s]), answers(poisoned, earlier, [s]))


@pytest.mark.parametrize("label", METHODS)
def test_after_a_failed_first_edit_a_stream_starts_afresh(label: str, poisoned: Engine) -> None:
    failed = fit(poisoned, label, BATCHES).state
    resumed = fit(poisoned, label, [[r] for r in REQUESTS[4:8]], failed).state.select([BAD])
    fresh = fit(poisoned, label, [[REQUESTS[4 + BAD]]]).state
    torch.testing.assert_close(answers(poisoned, resumed, [0]), answers(poisoned, fresh, [0]), atol=1e-7, rtol=1e-7)
    for name, memory in fresh.memory.items():
        torch.testing.assert_close(there(resumed.memory[name][0]), there(memory[0]))


@pytest.mark.parametrize("label", ["reft", "baft", "lora"])
def test_training_that_diverges_fails_and_leaves_no_edit(label: str) -> None:
    name, settings = METHODS[label]
    tiny = engine("llama")
    outcome = create(name, {**settings, "lr": 1e36, "tolerance": 0}).fit(tiny, BATCHES, None, Context())
    assert all("not finite" in (report.error or "") for report in outcome.trainings)
    assert not outcome.state.edited.any()
    assert all(not t.any() for delta in outcome.state.deltas.values() for t in delta.tensors().values())


def test_a_request_has_no_place_for_probes() -> None:
    assert [field.name for field in fields(Request)] == ["id", "prompt", "target", "subject", "irrelevant"]
