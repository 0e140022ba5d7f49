"""MEMOIR: its fingerprints and its choice by hand, and edits against plain PyTorch."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from baft.benchmarks.irrelevant import load_pool
from baft.engine.asking import Decoding, Question
from baft.engine.engine import Engine
from baft.engine.rows import mean_over
from baft.engine.state import EditState
from baft.methods.base import Context, Request
from baft.methods.memoir import Memoir, ResidualMemory, Store, fingerprints
from baft.methods.registry import create
from baft.methods.settings.memoir import Settings
from tests.engine.tiny import PROMPTS, SUBJECTS, TARGETS, engine

REQUESTS = [
    Request(f"r{n}", prompt, target, subject)
    for n, (prompt, target, subject) in enumerate(zip(PROMPTS, TARGETS, SUBJECTS, strict=True))
]
FEW = {"layer": 1, "steps": 5, "share": 0.25, "threshold": 0.6, "prefixes": 3}
MODULES = {"llama": "model.layers.1.mlp.down_proj", "gpt2": "transformer.h.1.mlp.c_proj"}


def memoir(**settings: Any) -> Memoir:
    method = create("memoir", {**FEW, **settings})
    assert isinstance(method, Memoir)
    return method


def delta_of(state: EditState, method: Memoir, tiny: Engine) -> ResidualMemory:
    delta = state.deltas[method.site(tiny)]
    assert isinstance(delta, ResidualMemory)
    return delta


def inputs_of(tiny: Engine, prompt: str) -> Tensor:
    """What enters the edited layer at a prompt's tokens (T, d_in), by a hook of PyTorch's."""
    kept: list[Tensor] = []
    module = tiny.model.model.get_submodule(MODULES[tiny.model.model.config.model_type])
    hook = module.register_forward_pre_hook(lambda m, args: kept.append(args[0][0]))
    with torch.no_grad():
        tiny.model.model(input_ids=torch.tensor([tiny.text.prompt(prompt)]))
    hook.remove()
    return kept[0]


def plain_fingerprint(tiny: Engine, prompt: str, count: int) -> Tensor:
    centre = torch.stack([inputs_of(tiny, text).mean(0) for text in load_pool().general]).mean(0)
    apart = (inputs_of(tiny, prompt).mean(0) - centre).abs()
    return (apart >= apart.sort(descending=True).values[count - 1]).to(apart.dtype)


def test_fingerprints_by_hand() -> None:
    x = torch.tensor([[[1.0, 5, 0, -4], [3, 1, 0, -2], [99, 99, 99, 99]], [[0, 0, 8, 0], [0, 0, 0, 0], [0, 7, 0, 0]]])
    tokens = torch.tensor([[True, True, False], [True, False, True]])
    assert mean_over(x, tokens).tolist() == [[2, 3, 0, -3], [0, 3.5, 4, 0]]
    # Apart from the centre by 1, 3, 1.5 and 4, and by 1, 3.5, 5.5 and 1.
    centre = torch.tensor([1.0, 0, -1.5, 1])
    assert fingerprints(x, tokens, centre, 2).tolist() == [[0, 1, 0, 1], [0, 1, 1, 0]]
    assert fingerprints(x, tokens, centre, 1).tolist() == [[0, 0, 0, 1], [0, 0, 1, 0]]


def plainly(tiny: Engine, method: Memoir, requests: list[Request], order: Tensor) -> Tensor:
    """The memory after some edits, one after another, by PyTorch's SGD and clipping."""
    settings = method.settings
    model = copy.deepcopy(tiny.model.model)
    module = model.get_submodule(MODULES[model.config.model_type])
    width_in, width_out = tiny.model.widths(method.site(tiny))
    memory = torch.zeros(width_out, width_in, dtype=torch.float64, requires_grad=True)
    texts = ("", *method._texts.of(tiny, 0))
    mask = torch.zeros(width_in, dtype=torch.float64)
    hook = module.register_forward_hook(lambda m, args, output: output + (args[0] * mask) @ memory.T)
    for request in requests:
        mask[:] = plain_fingerprint(tiny, request.prompt, round(settings.share * width_in))[order]
        decay = 1e-5 if settings.decay == "published" else 0.0
        optimiser = torch.optim.SGD([memory], settings.lr, weight_decay=decay)
        for _ in range(settings.steps):
            optimiser.zero_grad()
            losses = []
            for text in texts:
                prompt, answer = (
                    tiny.text.prompt(text + request.prompt),
                    tiny.text.answer(text + request.prompt, request.target),
                )
                logits = model(input_ids=torch.tensor([[*prompt, *answer]]), use_cache=False).logits[0]
                losses.append(functional.cross_entropy(logits[len(prompt) - 1 : -1], torch.tensor(answer)))
            torch.stack(losses).mean().backward()
            if settings.longest:
                torch.nn.utils.clip_grad_norm_(memory, settings.longest)
            optimiser.step()
    hook.remove()
    return memory.detach()


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("settings", [{}, {"longest": 0.01, "lr": 20.0}, {"longest": 0.0, "decay": "off", "lr": 0.3}])
def test_edits_are_those_of_plain_gradient_descent(kind: str, settings: dict[str, Any]) -> None:
    tiny = engine(kind, torch.float64)
    method = memoir(**settings)
    batches = [[REQUESTS[0], REQUESTS[1]], [REQUESTS[2]]]
    delta = delta_of(method.fit(tiny, batches, None, Context()).state, method, tiny)
    for s, requests in enumerate(batches):
        expected = plainly(tiny, method, requests, delta.order[s])
        torch.testing.assert_close(delta.memory[s], expected, atol=1e-10, rtol=1e-8)
        assert expected.abs().max() > 1e-3
        for n, request in enumerate(requests):
            count = round(FEW["share"] * expected.shape[1])
            assert torch.equal(delta.fingerprints[s, n], plain_fingerprint(tiny, request.prompt, count))
    # The second stream has one edit only.
    assert not delta.fingerprints[1, 1].any()


def test_gradients_are_shortened_in_the_test_above() -> None:
    tiny = engine("llama", torch.float64)
    whole, short = (
        delta_of(method.fit(tiny, [[REQUESTS[0]]], None, Context()).state, method, tiny).memory
        for method in (memoir(longest=0.0), memoir(longest=0.01))
    )
    assert float(short.norm()) <= 5 * 0.01 < float(whole.norm())


def test_an_edit_trains_what_it_reads_and_published_decay_shrinks_the_rest() -> None:
    tiny = engine("llama", torch.float64)
    for decay in ("off", "published"):
        method = memoir(decay=decay)
        first = method.fit(tiny, [[REQUESTS[0]]], None, Context()).state
        before = delta_of(first, method, tiny)
        after = delta_of(method.fit(tiny, [[REQUESTS[1]]], first, Context()).state, method, tiny)
        assert torch.equal(after.order, before.order) and after.fingerprints.shape[1] == 2
        read = after.fingerprints[0, 1][after.order[0]].bool()
        own = before.fingerprints[0, 0][before.order[0]].bool()
        assert (own & ~read).any() and not before.memory[0][:, ~own].any()
        factor = (1 - 1e-5) ** FEW["steps"] if decay == "published" else 1.0
        torch.testing.assert_close(after.memory[0][:, ~read], factor * before.memory[0][:, ~read], atol=0, rtol=1e-12)
        assert not torch.allclose(after.memory[0][:, read], before.memory[0][:, read], atol=1e-4)


def test_order_spreads_edits_by_the_runs_seed() -> None:
    tiny = engine("llama")
    orders = [
        delta_of(memoir().fit(tiny, [[REQUESTS[0]]], None, Context(seed)).state, memoir(), tiny).order
        for seed in (0, 0, 1)
    ]
    assert torch.equal(orders[0], orders[1]) and not torch.equal(orders[0], orders[2])
    assert orders[0][0].sort().values.tolist() == list(range(48))


def asked(tiny: Engine, state: EditState | None, prompts: list[str]) -> list[Any]:
    questions = [Question(0, tuple(tiny.text.prompt(p)), ((5, 6),)) for p in prompts]
    return tiny.ask(state, questions, Decoding(4, ()))


def test_a_prompt_has_the_edit_that_shares_most_with_it_if_that_is_enough() -> None:
    tiny = engine("llama", torch.float64)
    method = memoir(steps=20)
    state = method.fit(tiny, [[REQUESTS[0], REQUESTS[1]]], None, Context()).state
    delta = delta_of(state, method, tiny)
    count = int(delta.fingerprints[0, 0].sum())
    shared = {p: (plain_fingerprint(tiny, p, count) @ delta.fingerprints[0].T / count).tolist() for p in PROMPTS}
    assert shared[PROMPTS[0]][0] == shared[PROMPTS[1]][1] == 1.0
    site = method.site(tiny)
    # One threshold that all prompts reach, and one that edited prompts alone do.
    least, most = min(max(both) for both in shared.values()), max(max(shared[p]) for p in PROMPTS[2:])
    assert least > 0 and most < 1
    for threshold, opened in ((least, list(PROMPTS)), ((1 + most) / 2, list(PROMPTS[:2]))):
        given = EditState(1, {site: ResidualMemory(**{**vars(delta), "threshold": threshold})})
        before, after = asked(tiny, None, list(PROMPTS)), asked(tiny, given, list(PROMPTS))
        assert [b != a for b, a in zip(before, after, strict=True)] == [prompt in opened for prompt in PROMPTS]
        # Alone with the edit that shares most, a prompt gets the same.
        for n, prompt in enumerate(PROMPTS):
            nearest = max((0, 1), key=lambda edit: shared[prompt][edit])
            own = {**delta.tensors(), "fingerprints": delta.fingerprints[:, [nearest]]}
            one = EditState(1, {site: ResidualMemory(delta.where, threshold, **own)})
            (reply,) = asked(tiny, one, [prompt])
            assert reply.decoded == after[n].decoded
            assert reply.forced[0].logprob == pytest.approx(after[n].forced[0].logprob, abs=1e-9)


def test_an_edit_is_learnt() -> None:
    tiny = engine("llama", torch.float64)
    state = memoir(steps=60, lr=2.0).fit(tiny, [[REQUESTS[0]]], None, Context()).state
    target = tuple(tiny.text.answer(REQUESTS[0].prompt, REQUESTS[0].target))
    question = Question(0, tuple(tiny.text.prompt(REQUESTS[0].prompt)), (target,))
    (after,), (before,) = (tiny.ask(s, [question], Decoding(0)) for s in (state, None))
    assert sum(after.forced[0].logprob) > sum(before.forced[0].logprob) + 1


def test_of_equal_fingerprints_one_is_kept() -> None:
    fingerprint = torch.tensor([1.0, 0])
    store = Store(torch.zeros(2, 2), torch.arange(2), [])
    for n, found in enumerate((fingerprint, 1 - fingerprint, fingerprint)):
        store.keep(torch.full((2, 2), float(n)), found)
    assert [known.tolist() for known in store.fingerprints] == [[1, 0], [0, 1]] and store.memory[0, 0] == 2


def test_numbers_are_counted() -> None:
    tiny = engine("llama")
    method = memoir()
    outcome = method.fit(tiny, [[REQUESTS[0], REQUESTS[1]]], None, Context())
    assert (outcome.trained, outcome.changed) == (12 * 32, 0)
    # The memory's columns in use, two fingerprints of twelve inputs, the order, of which one is 0, and the centre.
    used = int(delta_of(outcome.state, method, tiny).memory[0].any(0).sum())
    assert 12 <= used <= 24
    assert outcome.state.stored() == [32 * used + 2 * 12 + 47 + 48]


def test_the_settings_are_the_authors_for_llama_3() -> None:
    assert int(Settings().layer * 32) == 27
    assert round(Settings().share * 14336) == pytest.approx(4096, rel=2e-3)
