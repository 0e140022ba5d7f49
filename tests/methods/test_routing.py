"""Routing as published, against plain models that decide in every pass: at each decoded token, and on a forced answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import silu
from transformers import DynamicCache

from baft.engine.asking import Decoding, Question
from baft.engine.engine import Engine
from baft.engine.state import EditState
from baft.methods.base import Context, Request
from baft.methods.registry import create
from tests.engine.tiny import PROMPTS, SUBJECTS, TARGETS, engine

REQUESTS = [
    Request(f"r{n}", prompt, target, subject)
    for n, (prompt, target, subject) in enumerate(zip(PROMPTS, TARGETS, SUBJECTS, strict=True))
]
# So that some passes are routed and others are not.
SETTINGS: dict[str, dict[str, Any]] = {
    "wise": {"layer": 1, "steps": 6, "mask": 0.5, "prefixes": 1, "ratio": 0.5},
    "grace": {"layer": 1, "steps": 6, "lr": 0.3, "radius": 3.0},
    "melo": {"layers": (1, 2), "reads": 0, "steps": 6, "lr": 1e-2, "scale": 4.0, "radius": 3.5},
}

Hook = Callable[[Any, Any, Tensor], Tensor | None]


class Plain:
    """A plain llama with one stream's memory in it, written out; ``query`` is the column that is asked in this pass."""

    def __init__(self, tiny: Engine, state: EditState):
        self.tiny, self.state = tiny, state
        self.query, self.routed = 0, list[bool]()

    def wise(self) -> dict[str, Hook]:
        ((_, delta),) = self.state.deltas.items()
        change, threshold = delta.changes[0, 0], float(delta.thresholds[0, 0])  # type: ignore[attr-defined]

        def instead(module: Any, args: Any, y: Tensor) -> Tensor | None:
            moved = y + args[0] @ change.T
            distance = (silu(y) - silu(moved)).norm(dim=-1).mean()
            self.routed.append(bool(distance >= 0.5 * threshold))
            return moved if self.routed[-1] else None

        return {"layers.1.mlp.down_proj": instead}

    def grace(self) -> dict[str, Hook]:
        ((_, delta),) = self.state.deltas.items()
        keys, values, radii = (delta.tensors()[name][0] for name in ("keys", "values", "radii"))

        def instead(module: Any, args: Any, y: Tensor) -> Tensor | None:
            apart = (keys - args[0][0, self.query]).norm(dim=-1)
            nearest = int(apart.argmin())
            self.routed.append(bool(apart[nearest] <= radii[nearest]))
            if not self.routed[-1]:
                return None
            y = y.clone()
            y[0, self.query] = values[nearest]
            return y

        return {"layers.1.mlp.down_proj": instead}

    def melo(self) -> dict[str, Hook]:
        held = {site.layer: {name: t[0] for name, t in d.tensors().items()} for site, d in self.state.deltas.items()}
        block: list[int] = []

        def look(module: Any, args: Any, y: Tensor) -> None:
            apart = (held[1]["centres"] - y[0, -1]).norm(dim=-1)
            nearest = int(apart.argmin())
            self.routed.append(bool(apart[nearest] <= held[1]["radii"][nearest]))
            block[:] = [int(held[1]["block"][nearest]) - 1 if self.routed[-1] else -1]

        def adapted(layer: int) -> Hook:
            def add(module: Any, args: Any, y: Tensor) -> Tensor | None:
                own = held[layer]
                return y + args[0] @ own["down"][block[0]].T @ own["up"][block[0]] if block[0] >= 0 else None

            return add

        adapters = {f"layers.{layer}.mlp.down_proj": adapted(layer) for layer in (1, 2)}
        return {"layers.0.mlp.down_proj": look, **adapters}

    def run(self, ids: list[int], query: int, cache: DynamicCache | None = None) -> Tensor:
        self.query = query
        given = {"input_ids": torch.tensor([ids]), "past_key_values": cache, "use_cache": cache is not None}
        return self.tiny.model.model(**given).logits[0]


@pytest.mark.parametrize("name", sorted(SETTINGS))
@torch.no_grad()
def test_published_routing_is_that_of_a_plain_model(name: str) -> None:
    tiny = engine("llama", torch.float64)
    method = create(name, {**SETTINGS[name], "routing": "published"})
    with torch.enable_grad():
        outcome = method.fit(tiny, [REQUESTS[:2]], None, Context())
    assert not outcome.trainings[0].failed
    plain = Plain(tiny, outcome.state)
    prompts = PROMPTS[:4]
    answers = ((5, 6, 7), tuple(tiny.text.answer(PROMPTS[0], TARGETS[0])))
    questions = [Question(0, tuple(tiny.text.prompt(prompt)), answers) for prompt in prompts]
    replies = tiny.ask(outcome.state, questions, Decoding(6, ()))
    with ExitStack() as stack:
        for place, hook in getattr(plain, name)().items():
            module = tiny.model.model.model.get_submodule(place)
            stack.callback(module.register_forward_hook(hook).remove)
        for question, reply in zip(questions, replies, strict=True):
            prompt = list(question.prompt)
            for answer, forced in zip(answers, reply.forced, strict=True):
                scores = plain.run([*prompt, *answer], len(prompt) - 1)[len(prompt) - 1 : -1].log_softmax(-1)
                expected = scores[torch.arange(len(answer)), torch.tensor(answer)]
                assert forced.logprob == pytest.approx(expected.tolist(), abs=1e-9)
            cache, ids, said = DynamicCache(), prompt, list[int]()
            for step in range(6):
                token = int(plain.run(ids, 0 if step else len(prompt) - 1, cache)[-1].argmax())
                if token == tiny.text.tokenizer.eos_token_id:
                    break
                said.append(token)
                ids = [token]
            assert reply.decoded == tiny.text.decode(said).strip()
    assert set(plain.routed) == {True, False}


def test_melos_published_keys_are_of_prompts_with_their_targets() -> None:
    tiny = engine("llama", torch.float64)
    request = REQUESTS[0]
    whole = [*tiny.text.prompt(request.prompt), *tiny.text.answer(request.prompt, request.target)]
    found = {}
    hook = tiny.model.blocks[0].mlp.down_proj.register_forward_hook(lambda m, a, y: found.update(y=y))  # type: ignore[union-attr]
    tiny.model.model(input_ids=torch.tensor([whole]))
    hook.remove()
    at = {"prompt": len(tiny.text.prompt(request.prompt)) - 1, "published": len(whole) - 1}
    for routing, place in at.items():
        method = create("melo", {**SETTINGS["melo"], "routing": routing})
        state = method.fit(tiny, [[request]], None, Context()).state
        key = next(iter(state.deltas.values())).tensors()["keys"][0, 0]
        torch.testing.assert_close(key, found["y"][0, place])
