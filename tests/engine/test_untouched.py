"""What is asked where no edit acts is not asked: the deltas' own decisions tell, in a pass through the lower blocks."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from baft.engine.asking import Decoding
from baft.engine.deltas import Offset
from baft.engine.engine import Engine
from baft.engine.positions import Everywhere
from baft.engine.preambles import Fact, Query
from baft.engine.sites import Site
from baft.engine.state import EditState
from tests.engine.test_deciding import HIGH, LOW, NEAR, close, mean_state, question, routed
from tests.engine.tiny import PROMPTS, engine
from tests.engine.toys import LatestFact, NearestOffset

ASKED = [Query(stream, prompt) for stream in (0, 1) for prompt in PROMPTS]


@pytest.fixture(params=["llama", "gpt2", "gemma2"])
def tiny(request: pytest.FixtureRequest) -> Engine:
    return engine(request.param, torch.float64)


def test_exactly_the_prompts_that_open_nothing_are_untouched(tiny: Engine) -> None:
    state = routed(tiny, PROMPTS[1:3])
    found = tiny.untouched(state, ASKED)
    assert found == [q.stream == 1 or q.prompt not in PROMPTS[1:3] for q in ASKED]
    questions = [question(tiny, q.stream, q.prompt, "Rome") for q in ASKED]
    edited, before = (tiny.ask(s, questions, Decoding(3)) for s in (state, None))
    for closed, now, then in zip(found, edited, before, strict=True):
        if closed:
            close(now, then)
        else:
            assert now.forced[0].logprob != pytest.approx(then.forced[0].logprob, abs=1e-8)


def test_a_prompt_that_one_of_several_deltas_acts_on_is_touched(tiny: Engine) -> None:
    one, other = routed(tiny, PROMPTS[:1], Site(1)), routed(tiny, PROMPTS[3:4], HIGH)
    state = EditState(2, {**one.deltas, **other.deltas})
    assert tiny.untouched(state, ASKED[: len(PROMPTS)]) == [p not in (PROMPTS[0], PROMPTS[3]) for p in PROMPTS]


def test_a_stream_without_an_edit_is_untouched_whatever_the_others_have(tiny: Engine) -> None:
    offset = Offset(Everywhere(), torch.ones(2, tiny.model.hidden_size, dtype=torch.float64))
    state = EditState(2, {HIGH: offset}, edited=torch.tensor([True, False]))
    assert tiny.untouched(state, [Query(0, PROMPTS[0]), Query(1, PROMPTS[0])]) == [False, True]


def test_what_cannot_be_told_cheaply_counts_as_touched(tiny: Engine) -> None:
    there = routed(tiny, PROMPTS[:1])
    assert tiny.untouched(there, [Query(1, PROMPTS[0])]) == [True]

    plain = Offset(Everywhere(), torch.zeros(2, tiny.model.hidden_size, dtype=torch.float64))
    assert tiny.untouched(EditState(2, {**there.deltas, Site(1): plain}), [Query(1, PROMPTS[0])]) == [False]

    preamble = LatestFact(((Fact("a", "b"),),) * 2, torch.zeros(2, 1), ".")
    assert tiny.untouched(EditState(2, there.deltas, preamble=preamble), [Query(1, PROMPTS[0])]) == [False]

    key = mean_state(tiny, PROMPTS[0])[None, None] + 100
    high = NearestOffset(Everywhere(), key, torch.ones_like(key), at=HIGH, radius=NEAR)
    assert tiny.untouched(EditState(1, {HIGH: high}), [Query(0, PROMPTS[0])]) == [False]

    anew = Anew(Everywhere(), key, torch.ones_like(key), at=LOW, radius=NEAR)
    assert tiny.untouched(EditState(1, {HIGH: anew}), [Query(0, PROMPTS[0])]) == [False]


def test_a_prompt_longer_than_the_model_reads_is_left_to_who_asks_it(tiny: Engine) -> None:
    assert tiny.untouched(routed(tiny), [Query(1, PROMPTS[0] * 1000), Query(1, PROMPTS[0])]) == [False, True]


@dataclass(frozen=True)
class Anew(NearestOffset):
    @property
    def anew(self) -> bool:
        return True
