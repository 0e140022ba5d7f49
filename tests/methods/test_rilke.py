"""RILKE: a module is LoReFT's, written out in plain PyTorch, and the right one is chosen."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from baft.engine.asking import Decoding, Question
from baft.engine.deltas import Subspace
from baft.engine.engine import Engine
from baft.engine.rows import Row, collate
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError
from baft.methods.base import Context, Request
from baft.methods.registry import create
from baft.methods.rilke import Modules, pooled
from tests.engine.tiny import PROMPTS, SUBJECTS, TARGETS, engine

REQUESTS = [
    Request(f"r{n}", prompt, target, subject)
    for n, (prompt, target, subject) in enumerate(zip(PROMPTS, TARGETS, SUBJECTS, strict=True))
]
SHARED = {"layer": 1, "rank": 4, "steps": 20, "lr": 5e-2}
SETTINGS = {**SHARED, "reads": 0, "similarity": 0.95}


def fit(tiny: Engine, batches: list[list[Request]], state: EditState | None = None, **settings: Any) -> EditState:
    outcome = create("rilke", {**SETTINGS, **settings}).fit(tiny, batches, state, Context())
    assert not any(report.failed for report in outcome.trainings)
    return outcome.state


def modules(state: EditState) -> Modules:
    (delta,) = state.deltas.values()
    assert isinstance(delta, Modules)
    return delta


def questions(tiny: Engine, prompts: list[str], stream: int = 0) -> list[Question]:
    return [Question(stream, tuple(tiny.text.prompt(p)), ((5, 6, 7),)) for p in prompts]


def test_a_facts_module_is_what_reft_trains_on_that_fact_alone() -> None:
    tiny = engine("llama", torch.float64)
    found = modules(fit(tiny, [REQUESTS[:3], REQUESTS[3:5]]))
    for s, n, request in ((0, 0, REQUESTS[0]), (0, 2, REQUESTS[2]), (1, 1, REQUESTS[4])):
        alone = create("reft", SHARED).fit(tiny, [[request]], None, Context()).state
        (delta,) = alone.deltas.values()
        assert isinstance(delta, Subspace)
        for name, tensor in delta.tensors().items():
            torch.testing.assert_close(found.tensors()[name][s, n], tensor[0], atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_the_nearest_facts_module_acts_as_written_out_in_plain_pytorch(kind: str, pooling: str) -> None:
    tiny = engine(kind, torch.float64)
    state = fit(tiny, [REQUESTS[:4]], pooling=pooling, similarity=-1.0, tail=2)
    found = modules(state)
    model = copy.deepcopy(tiny.model.model)
    blocks = model.model.layers if kind == "llama" else model.transformer.h
    read: list[Tensor] = []

    def hidden(output: Any) -> Tensor:
        return output[0] if isinstance(output, tuple) else output

    def keep(module: Any, args: Any, output: Any) -> None:
        read.append(hidden(output)[0])

    blocks[0].register_forward_hook(keep)

    def key(ids: list[int]) -> Tensor:
        read.clear()
        model(input_ids=torch.tensor([ids]), use_cache=False)
        return (read[0][-1] if pooling == "last" else read[0].mean(0)).detach() - found.centre[0]

    keys = torch.stack([key(tiny.text.prompt(r.prompt)) for r in REQUESTS[:4]])
    answer = (5, 6, 7)
    for asked in PROMPTS:
        ids = tiny.text.prompt(asked)
        chosen = int(cosine_similarity(keys, key(ids)[None], dim=-1).argmax())
        rotation, weight, bias = found.rotation[0, chosen], found.weight[0, chosen], found.bias[0, chosen]

        def add(module: Any, args: Any, output: Any, ids=ids, r=rotation, w=weight, b=bias) -> Any:
            h = hidden(output).clone()
            for at in (len(ids) - 2, len(ids) - 1):
                h[0, at] += r.T @ (w @ h[0, at] + b - r @ h[0, at])
            return (h, *output[1:]) if isinstance(output, tuple) else h

        hook = blocks[1].register_forward_hook(add)
        logits = model(input_ids=torch.tensor([[*ids, *answer[:-1]]]), use_cache=False).logits[0, len(ids) - 1 :]
        hook.remove()
        expected = logits.log_softmax(-1)[torch.arange(3), torch.tensor(answer)]
        (reply,) = tiny.ask(state, questions(tiny, [asked]), Decoding(0))
        assert reply.forced[0].logprob == pytest.approx(expected.tolist(), abs=1e-9)


def test_the_centre_is_the_mean_over_unrelated_prompts() -> None:
    tiny = engine("llama", torch.float64)
    method = create("rilke", {**SETTINGS, "pooling": "last"})
    from baft.benchmarks.irrelevant import load_pool

    states = []
    for text in load_pool().general:
        ids = tiny.text.prompt(text)
        batch = collate([Row(0, tuple(ids), len(ids))], torch.device("cpu"), 0)
        states.append(tiny.model.activations(batch, Site(0))[1][0, -1])
    torch.testing.assert_close(method._centre_of(tiny), torch.stack(states).mean(0))  # type: ignore[attr-defined]
    assert not modules(fit(tiny, [[REQUESTS[0]]], centre=False)).centre.any()


def test_prompts_are_pooled_over_their_own_tokens() -> None:
    rows = [Row(0, (1, 2, 3, 4), 3), Row(0, (5, 6), 2)]
    batch = collate(rows, torch.device("cpu"), 0, [0, -2])
    states = torch.arange(8.0).reshape(2, 4, 1)
    assert pooled(states, batch, "last").flatten().tolist() == [2.0, 7.0]
    assert pooled(states, batch, "mean").flatten().tolist() == [1.0, 6.5]


def test_a_prompt_unlike_every_facts_is_left_alone_bit_for_bit() -> None:
    tiny = engine("llama")
    state = fit(tiny, [REQUESTS[:3]])
    (own,) = tiny.ask(state, questions(tiny, [PROMPTS[1]]), Decoding(4, ()))
    (plain,) = tiny.ask(None, questions(tiny, [PROMPTS[1]]), Decoding(4, ()))
    assert own != plain
    far = questions(tiny, [r.prompt for r in REQUESTS[3:]])
    assert tiny.ask(state, far, Decoding(4, ())) == tiny.ask(None, far, Decoding(4, ()))


def test_modules_of_a_stream_stay_as_they_are_when_others_come() -> None:
    tiny = engine("llama", torch.float64)
    first = fit(tiny, [[REQUESTS[0]], [REQUESTS[1]]])
    second = fit(tiny, [[REQUESTS[2], REQUESTS[3]], [REQUESTS[4]]], first)
    before, after = modules(first), modules(second)
    for name in ("keys", "rotation", "weight", "bias"):
        assert torch.equal(after.tensors()[name][:, :1], before.tensors()[name])
    assert after.keys.any(-1).tolist() == [[True, True, True], [True, True, False]]


@pytest.mark.parametrize("prompt", [REQUESTS[0].prompt, REQUESTS[0].prompt.upper()])
def test_an_edit_of_an_earlier_ones_prompt_takes_its_place(prompt: str) -> None:
    tiny = engine("llama", torch.float64)
    again = Request("again", prompt, "a poet", REQUESTS[0].subject)
    found = modules(fit(tiny, [[REQUESTS[0], REQUESTS[1], again]]))
    alone = modules(fit(tiny, [[again]]))
    assert found.keys.any(-1).tolist() == [[True, True]]
    torch.testing.assert_close(found.weight[0, 1], alone.weight[0, 0])


def test_numbers_are_counted() -> None:
    tiny = engine("llama")
    outcome = create("rilke", SETTINGS).fit(tiny, [REQUESTS[:3]], None, Context())
    assert (outcome.trained, outcome.changed) == (4 * (2 * 32 + 1), 0)
    # Each by itself, in the steps that it takes alone.
    alone = create("rilke", SETTINGS).fit(tiny, [[r] for r in REQUESTS[:3]], None, Context()).trainings
    (together,) = outcome.trainings
    assert [together.of(r.id).steps for r in REQUESTS[:3]] == [report.steps for report in alone]
    assert [together.of(r.id).loss for r in REQUESTS[:3]] == pytest.approx([report.loss for report in alone])
    # A module and a key for each of three facts, and one centre.
    assert outcome.state.stored() == [3 * (4 * (2 * 32 + 1) + 32) + 32]


def test_a_router_above_the_modules_is_refused() -> None:
    tiny = engine("llama")
    with pytest.raises(UserError, match="reads is 2, a later block than layer 1"):
        create("rilke", {**SETTINGS, "reads": 2}).check(tiny, Context())
