"""Edits on a GPU are those of the processor: fitted, saved, loaded and asked there, in float64 on tiny models."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from baft.engine.asking import Decoding
from baft.engine.engine import Engine
from baft.engine.saved import load_state, save_state
from baft.methods.base import Context
from tests.engine.tiny import engine, on_gpu
from tests.methods.test_contract import EDITING, REQUESTS, asked, context_of, made

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def edited(tiny: Engine, name: str, folder: Path) -> tuple[list[list[float]], list[str]]:
    """The log-probabilities of two answers to each prompt, and what is decoded, after two steps of two streams.

    The second step goes on from what was saved of the first.
    """
    method, device = made(name), tiny.model.device
    on_cpu = context_of(tiny, method.settings)
    context = Context(on_cpu.seed, {site: kept.to(device) for site, kept in on_cpu.covariances.items()})
    method.check(tiny, context)
    state = None
    for batches in ([REQUESTS[:1], REQUESTS[1:2]], [REQUESTS[2:3], REQUESTS[3:5]]):
        outcome = method.fit(tiny, batches, state, context)
        assert [training.error for training in outcome.trainings] == [None, None]
        save_state(outcome.state, folder, {})
        state, _ = load_state(folder, tiny.model)
    questions = asked(tiny, state, [(s, request) for s in range(2) for request in REQUESTS])
    replies = list(tiny.ask(state, questions, Decoding(5, ())))
    return [[sum(one.logprob) for one in reply.forced] for reply in replies], [reply.decoded for reply in replies]


# A Llama's norms are computed in float32 whatever its dtype, and some methods make much of that.
@pytest.mark.parametrize(("kind", "tolerance"), [("gpt2", 1e-6), ("llama", 0.02)])
@pytest.mark.parametrize("name", EDITING)
def test_an_edit_on_a_gpu_is_that_of_the_processor(name: str, kind: str, tolerance: float, tmp_path: Path) -> None:
    expected, said = edited(engine(kind, torch.float64), name, tmp_path / "cpu")
    found, told = edited(on_gpu(kind, torch.float64), name, tmp_path / "gpu")
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), atol=tolerance, rtol=tolerance)
    assert kind == "llama" or told == said
