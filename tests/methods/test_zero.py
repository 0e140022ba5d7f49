from __future__ import annotations

import pytest
import torch

from baft.engine.asking import Decoding, Question
from baft.methods.base import Context, Request
from baft.methods.registry import create
from tests.engine.tiny import PROMPTS, engine


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma"])
def test_an_edit_of_zeros_goes_through_the_edit_and_changes_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = engine(kind, torch.float64)
    method = create("zero", {})
    method.check(tiny, Context())
    outcome = method.fit(tiny, [[Request(str(n), PROMPTS[n], "Rome")] for n in range(2)], None, Context())
    assert outcome.state.edited.all() and (outcome.trained, outcome.changed) == (0, 0)
    (site,) = outcome.state.deltas
    delta, added = outcome.state.deltas[site], []
    update = type(delta).update
    monkeypatch.setattr(type(delta), "update", lambda self, *args: added.append(len(args[-1])) or update(self, *args))
    questions = [Question(s, tuple(tiny.text.prompt(prompt)), ((5, 6),)) for s in (0, 1) for prompt in PROMPTS]
    edited = tiny.ask(outcome.state, questions, Decoding(4))
    assert max(added) == 2, "both streams' zeros are added"
    for found, plain in zip(edited, tiny.ask(None, questions, Decoding(4)), strict=True):
        assert found.decoded == plain.decoded
        assert found.forced[0].logprob == pytest.approx(plain.forced[0].logprob, abs=1e-9)


def test_a_stream_of_zeros_goes_on() -> None:
    tiny = engine("llama")
    method = create("zero", {})
    first = method.fit(tiny, [[Request("a", PROMPTS[0], "Rome")]], None, Context())
    second = method.fit(tiny, [[Request("b", PROMPTS[1], "Rome")]], first.state, Context())
    assert second.state.edited.all() and not any(
        t.any() for d in second.state.deltas.values() for t in d.tensors().values()
    )
