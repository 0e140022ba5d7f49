"""What decides in every pass anew: from prompt and answer together where one is forced, and at each decoded token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from baft.engine.asking import Decoding, Question
from baft.engine.deltas import Deciding, Seen
from baft.engine.engine import Engine
from baft.engine.positions import Everywhere
from baft.engine.rows import Batch
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError
from tests.engine.tiny import PROMPTS, engine

ANSWERS = ((5, 6, 7), (8, 9), (300, 11, 12, 13))


@dataclass(frozen=True)
class Odd(Deciding):
    """Adds ``value`` (S, d) to rows of whose tokens the sum is odd: those of the pass, or of the prompt alone."""

    shapes: ClassVar[Mapping[str, str]] = {"value": "S o"}

    every: bool
    value: Tensor

    @property
    def anew(self) -> bool:
        return self.every

    def decide(self, seen: Mapping[Site, Seen], batch: Batch) -> Tensor:
        return (batch.ids * (batch.real if self.every else batch.prompts)).sum(1) % 2

    def acts(self, decision: Tensor) -> Tensor:
        return decision > 0

    def edited(self, x: Tensor, y: Tensor, batch: Batch, decision: Tensor) -> Tensor:
        return y + self.value[batch.stream][:, None]


class Plain:
    """The same in a plain model, told before each pass whether it acts."""

    def __init__(self, tiny: Engine, value: Tensor):
        self.tiny, self.value, self.acting = tiny, value, False
        self.hook = tiny.model.blocks[1].register_forward_hook(self._add)

    def _add(self, module: Any, args: Any, output: Any) -> Any:
        if not self.acting:
            return output
        return (output[0] + self.value, *output[1:]) if isinstance(output, tuple) else output + self.value

    def run(self, ids: list[int], cache: DynamicCache | None = None) -> Tensor:
        self.acting = sum(ids) % 2 == 1
        return self.tiny.model.model(
            input_ids=torch.tensor([ids]), past_key_values=cache, use_cache=cache is not None
        ).logits[0]


def state_of(tiny: Engine, every: bool) -> tuple[EditState, Tensor]:
    value = torch.randn(1, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return EditState(1, {Site(1): Odd(Everywhere(), every, value)}), value[0]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_forced_answers_and_decoded_tokens_are_those_of_a_plain_model(kind: str) -> None:
    tiny = engine(kind, torch.float64)
    state, value = state_of(tiny, True)
    questions = [Question(0, tuple(tiny.text.prompt(prompt)), ANSWERS) for prompt in PROMPTS]
    replies = tiny.ask(state, questions, Decoding(6, ()))
    plain = Plain(tiny, value)
    acted = set()
    try:
        with torch.no_grad():
            for question, reply in zip(questions, replies, strict=True):
                prompt = list(question.prompt)
                for answer, forced in zip(ANSWERS, reply.forced, strict=True):
                    scores = plain.run([*prompt, *answer])[len(prompt) - 1 : -1].log_softmax(-1)
                    acted.add(plain.acting)
                    expected = scores[torch.arange(len(answer)), torch.tensor(answer)]
                    assert forced.logprob == pytest.approx(expected.tolist(), abs=1e-9)
                    assert forced.argmax == scores.argmax(-1).tolist()
                cache, ids, said = DynamicCache(), prompt, []
                for _ in range(6):
                    token = int(plain.run(ids, cache)[-1].argmax())
                    if token == tiny.text.tokenizer.eos_token_id:
                        break
                    said.append(token)
                    ids = [token]
                assert reply.decoded == tiny.text.decode(said).strip()
    finally:
        plain.hook.remove()
    assert acted == {True, False}


def test_what_decides_at_the_prompt_does_not_look_at_the_answer() -> None:
    tiny = engine("llama", torch.float64)
    prompt = tuple(tiny.text.prompt(PROMPTS[0]))
    pairs = []
    for every in (False, True):
        state, _ = state_of(tiny, every)
        # The first token's probability, before answers that make the sum odd and even.
        (reply,) = tiny.ask(state, [Question(0, prompt, ((5, 6), (5, 7)))], Decoding(0))
        pairs.append([forced.logprob[0] for forced in reply.forced])
    assert pairs[0][0] == pytest.approx(pairs[0][1], abs=1e-12)
    assert abs(pairs[1][0] - pairs[1][1]) > 1e-3


def test_an_answer_that_is_read_whole_must_fit() -> None:
    tiny = engine("gpt2", torch.float64)
    prompt = tuple([5] * 510)
    for every in (False, True):
        state, _ = state_of(tiny, every)
        assert tiny.ask(state, [Question(0, prompt, ((5, 6),))], Decoding(0))
        question = [Question(0, prompt, ((5, 6, 7),))]
        if not every:
            assert tiny.ask(state, question, Decoding(0))
            continue
        with pytest.raises(UserError, match="513 tokens"):
            tiny.ask(state, question, Decoding(0))
