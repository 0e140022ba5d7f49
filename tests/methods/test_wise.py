"""WISE: its losses, merging and routing by hand, and one edit against plain PyTorch."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from baft.benchmarks.irrelevant import load_pool
from baft.config.method_files import settings_class
from baft.engine.asking import Decoding, Question
from baft.engine.engine import Engine
from baft.engine.positions import Everywhere
from baft.engine.state import EditState
from baft.errors import UserError
from baft.methods.base import Context, Request, digest, seed_of
from baft.methods.registry import create
from baft.methods.settings.wise import Settings
from baft.methods.wise import EDITS, Shelf, SideMemories, Wise, _Inputs, distances, margin_loss, ties, weight_at
from tests.engine.tiny import PROMPTS, SUBJECTS, TARGETS, engine

REQUESTS = [
    Request(f"r{n}", prompt, target, subject)
    for n, (prompt, target, subject) in enumerate(zip(PROMPTS, TARGETS, SUBJECTS, strict=True))
]
FEW = {"layer": 1, "steps": 6, "mask": 0.5, "prefixes": 3}


def wise(**settings: Any) -> Wise:
    method = create("wise", {**FEW, **settings})
    assert isinstance(method, Wise)
    return method


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_margins_by_hand() -> None:
    # 7 − 5, 20 − 12 and 7 − 12 + 10.
    assert margin_loss(numbers(12)[None], numbers(7)[None], 5, 20, 10).tolist() == [15.0]
    # Means over the rows where a term is above 0: 4, the mean of 8 and 2, and 9 − 18 + 10 beside 9 − 12 + 10.
    found = margin_loss(numbers(12, 18, 25)[None], numbers(9)[None], 5, 20, 10)
    assert found.tolist() == [4.0 + 5.0 + 4.0]
    assert margin_loss(numbers(40)[None], numbers(1)[None], 5, 20, 10).tolist() == [0.0]


def test_an_irrelevant_row_without_tokens_is_none() -> None:
    x, y, change = (torch.rand(1, *shape, dtype=torch.float64) for shape in ((3, 4, 5), (3, 4, 6), (6, 5)))
    tokens = torch.tensor([[[True] * 4, [True] * 4, [False] * 4]])
    change = change.requires_grad_()

    def loss(rows: int) -> Tensor:
        inputs = _Inputs(x[:, :rows], y[:, :rows], tokens[:, :rows], 1)
        near, far = inputs.distances(change, torch.tensor([0]), "silu")
        return margin_loss(near, far, 0.1, 0.4, 1e3)

    padded, plain = loss(3), loss(2)
    torch.testing.assert_close(padded, plain, rtol=0, atol=0)
    gradients = [torch.autograd.grad(each.sum(), change)[0] for each in (padded, plain)]
    assert gradients[0].isfinite().all()
    torch.testing.assert_close(*gradients)


def test_merging_by_hand() -> None:
    first, second = numbers(4, -3, 0.1, 0.2), numbers(-1, -5, 2, 0.3)
    # Two entries of each are kept; at the first the second's is not among them, at the others the signs agree.
    assert ties([first, second], [0.5, 0.5], 0.53).tolist() == [4.0, -4.0, 2.0, 0.0]
    # The heavier one decides on the sign, and the other's entry is left out.
    assert ties([numbers(4, 0), numbers(-9, 0)], [0.6, 0.4], 1.0).tolist() == [-9.0, 0.0]
    # Weighted means of those that agree.
    assert ties([numbers(2), numbers(4)], [0.25, 0.75], 1.0).tolist() == [3.5]


def test_distances_are_means_over_a_rows_tokens() -> None:
    x, y, change = (torch.randn(*size, dtype=torch.float64) for size in ((2, 3, 4), (2, 3, 5), (2, 5, 4)))
    tokens = torch.tensor([[True, True, False], [False, False, False]])
    found = distances(x[None], y[None], change, "silu", tokens)
    for n in range(2):
        expected = sum(
            float((functional.silu(y[0, t]) - functional.silu(y[0, t] + change[n] @ x[0, t])).norm()) for t in range(2)
        )
        assert float(found[n, 0]) == pytest.approx(expected / 2, abs=1e-12)
    assert found[:, 1].tolist() == [0.0, 0.0]
    # As published, the largest of a long row.
    largest = float((functional.silu(y[0, :2]) - functional.silu(y[0, :2] + x[0, :2] @ change[0].T)).norm(dim=-1).max())
    assert float(distances(x[None], y[None], change, "silu", tokens, 1)[0, 0]) == pytest.approx(largest)
    assert torch.equal(distances(x[None], y[None], change, "silu", tokens, 2), found)


@pytest.mark.parametrize(
    ("measured", "routed"),
    [
        ((8, 8, 8), -1),  # none reaches its threshold of 0.9 times 10, 20 and 30
        ((9, 8, 8), 0),
        ((9, 19, 8), 1),
        ((9, 19, 28), 2),
        ((40, 19, 28), 0),  # the farthest
        ((40, 50, 45), 1),
        ((8, 17, 27), 2),
        # One that is no farther away than the memory in use does not count, though that is below its own threshold.
        ((8.9, 8.5, 8.5), -1),
    ],
)
def test_a_prompt_goes_to_the_farthest_memory_whose_threshold_it_reaches(
    measured: tuple[float, ...], routed: int
) -> None:
    changes = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    delta = SideMemories(Everywhere(), "prompt", "silu", 0.9, changes, numbers(10, 20, 30)[None])
    assert delta._routed(numbers(*measured)[:, None], 0, torch.arange(3)).tolist() == [routed]


def test_a_nearer_memory_does_not_take_over_from_the_one_in_use() -> None:
    # Published: the farthest so far is the one in use even where that has not reached its own threshold.
    delta = SideMemories(
        Everywhere(), "prompt", "silu", 1.0, torch.zeros(1, 2, 2, 2, dtype=torch.float64), numbers(10, 3)[None]
    )
    assert delta._routed(numbers(9, 5)[:, None], 0, torch.arange(2)).tolist() == [-1]
    assert delta._routed(numbers(4, 5)[:, None], 0, torch.arange(2)).tolist() == [1]
    # An empty memory in use is not asked.
    assert delta._routed(numbers(5)[:, None], 0, torch.tensor([1])).tolist() == [1]


def rows_of(tiny: Engine, method: Wise, request: Request) -> list[tuple[list[int], list[int]]]:
    texts = ("", *method._contexts(tiny, Context()))
    assert len(texts) == 1 + method.settings.prefixes
    return [
        (tiny.text.prompt(text + request.prompt), tiny.text.answer(text + request.prompt, request.target))
        for text in texts
    ]


def plainly(tiny: Engine, method: Wise, request: Request, start: Tensor) -> tuple[Tensor, float]:
    """The side memory's change after one edit by PyTorch's SGD, and the mean distance of its prompts."""
    settings = method.settings
    site = method.site(tiny)
    model = copy.deepcopy(tiny.model.model)
    module = {"llama": "model.layers.1.mlp.down_proj", "gpt2": "transformer.h.1.mlp.c_proj"}[model.config.model_type]
    act = {"llama": functional.silu, "gpt2": lambda v: functional.gelu(v, approximate="tanh")}[model.config.model_type]
    weight = weight_at(tiny, site).detach()
    mask = method._mask(seed_of("wise mask", 0, request.id), weight)
    (irrelevant,) = method._irrelevant(tiny, request, Context())
    own = (weight + start).clone().requires_grad_()
    decay = 1e-5 if settings.decay == "published" else 0.0
    optimiser = torch.optim.SGD([own], settings.lr, weight_decay=decay)
    seen: list[tuple[Tensor, Tensor]] = []

    def instead(layer, args, output):
        new = output + args[0] @ (own - weight).T
        seen.append((output, new))
        return new

    model.get_submodule(module).register_forward_hook(instead)

    def distance(ids: list[int]) -> Tensor:
        seen.clear()
        model(input_ids=torch.tensor([ids]), use_cache=False)
        ((before, after),) = seen
        return (act(before) - act(after)).norm(dim=-1).mean()

    def near() -> list[Tensor]:
        whole = settings.routing == "published"
        return [distance([*prompt, *answer] if whole else prompt) for prompt, answer in rows_of(tiny, method, request)]

    unit = method._unit(tiny, site, {"llama": "silu", "gpt2": "gelu_new"}[model.config.model_type])
    for _ in range(settings.steps):
        optimiser.zero_grad()
        losses = []
        for prompt, answer in rows_of(tiny, method, request):
            logits = model(input_ids=torch.tensor([[*prompt, *answer]]), use_cache=False).logits[0]
            losses.append(functional.cross_entropy(logits[len(prompt) - 1 : -1], torch.tensor(answer)))
        inside, outside = torch.stack(near()) / unit, distance(tiny.text.prompt(irrelevant)) / unit
        terms = [outside - settings.alpha, settings.beta - inside, outside - inside + settings.gamma]
        margin = sum((t[t > 0].mean() if (t > 0).any() else 0.0 * t.sum()) for t in terms)
        (torch.stack(losses).mean() + margin).backward()
        own.grad *= mask
        optimiser.step()
        with torch.no_grad():
            own.clamp_(weight - settings.bound, weight + settings.bound)
    with torch.no_grad():
        return (own - weight).detach(), float(torch.stack(near()).mean())


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"decay": "published", "margins": "absolute", "alpha": 0.05, "beta": 0.2, "gamma": 0.1, "lr": 0.1},
        {"bound": 1e-3, "routing": "published"},
    ],
)
def test_an_edit_is_that_of_plain_gradient_descent(kind: str, settings: dict[str, Any]) -> None:
    tiny = engine(kind, torch.float64)
    method = wise(**settings)
    state = method.fit(tiny, [[REQUESTS[0]], [REQUESTS[2]]], None, Context()).state
    delta = state.deltas[method.site(tiny)]
    assert isinstance(delta, SideMemories)
    for s, request in enumerate((REQUESTS[0], REQUESTS[2])):
        expected, distance = plainly(tiny, method, request, torch.zeros(delta.changes.shape[2:], dtype=torch.float64))
        torch.testing.assert_close(delta.changes[s, 0], expected, atol=1e-9, rtol=1e-7)
        assert expected.abs().max() > 5e-4
        assert float(delta.thresholds[s, 0]) == pytest.approx(distance, abs=1e-9)


def test_a_later_edit_goes_on_in_the_same_memory_and_the_least_distance_counts() -> None:
    tiny = engine("llama", torch.float64)
    method = wise()
    site = method.site(tiny)
    first = method.fit(tiny, [[REQUESTS[0]]], None, Context()).state.deltas[site]
    state = method.fit(tiny, [[REQUESTS[0], REQUESTS[1]]], None, Context()).state
    both = state.deltas[site]
    assert isinstance(first, SideMemories) and isinstance(both, SideMemories)
    # The mask stays the first edit's.
    stays = ~method._mask(seed_of("wise mask", 0, "r0"), first.changes[0, 0])
    assert not both.changes[0, 0][stays].any() and stays.any()
    assert not torch.allclose(both.changes[0, 0], first.changes[0, 0], atol=1e-4)
    assert 0 < float(both.thresholds[0, 0]) <= float(first.thresholds[0, 0])
    assert state.memory[EDITS].tolist() == [2]


def test_published_decay_shrinks_what_no_edit_may_change() -> None:
    tiny = engine("llama", torch.float64)
    method = wise(decay="published")
    site = method.site(tiny)
    weight = weight_at(tiny, site)
    delta = method.fit(tiny, [[REQUESTS[0]]], None, Context()).state.deltas[site]
    stays = ~method._mask(seed_of("wise mask", 0, "r0"), weight)
    shrunk = (weight * (1 - 1e-5) ** FEW["steps"] - weight)[stays]
    torch.testing.assert_close(delta.tensors()["changes"][0, 0][stays], shrunk, atol=1e-12, rtol=1e-6)


def shelved(edits: int, **settings: Any) -> Shelf:
    """A shelf after so many edits, of which the n-th made all of the memory in use n, at a distance of 10 − n."""
    given = Settings(density=1.0, **settings)
    shelf = Shelf([torch.zeros(2, 2, dtype=torch.float64)], [0.0])
    for n in range(1, edits + 1):
        shelf.keep(torch.full((2, 2), float(n), dtype=torch.float64), float(10 - n), given)
    return shelf


def test_full_memories_are_put_aside_and_merged() -> None:
    shelf = shelved(3, save_every=2, merge_every=4)
    assert [float(c[0, 0]) for c in shelf.changes] == [3.0, 2.0]
    assert shelf.thresholds == [7.0, 8.0]
    shelf = shelved(4, save_every=2, merge_every=4)
    # The one in use is empty again; the mean of 2 and 4 is kept with the least distance.
    assert [float(c[0, 0]) for c in shelf.changes] == [0.0, 3.0]
    assert shelf.thresholds == [0.0, 6.0]
    # Retrieved: one merged memory beside the other. Merged: one, in which the earlier weighs 0.6.
    apart = shelved(8, save_every=2, merge_every=4)
    assert [float(c[0, 0]) for c in apart.changes] == [0.0, 3.0, 7.0]
    assert apart.thresholds == [0.0, 6.0, 2.0]
    whole = shelved(8, save_every=2, merge_every=4, retrieve=False)
    assert [float(c[0, 0]) for c in whole.changes] == [0.0, pytest.approx(0.6 * 3 + 0.4 * 7)]
    assert whole.thresholds == [0.0, 2.0]


def asked(tiny: Engine, state: EditState | None, prompts: list[str]) -> list[Any]:
    questions = [Question(0, tuple(tiny.text.prompt(p)), ((5, 6),)) for p in prompts]
    return tiny.ask(state, questions, Decoding(4, ()))


def test_edits_are_learnt_and_an_emptied_memory_leaves_every_prompt_to_the_others() -> None:
    tiny = engine("llama", torch.float64)
    method = wise(steps=40, save_every=1, merge_every=4, ratio=0.5)
    state = method.fit(tiny, [[REQUESTS[0]]], None, Context()).state
    delta = state.deltas[method.site(tiny)]
    assert isinstance(delta, SideMemories)
    assert delta.thresholds[0, 0] == 0 and delta.thresholds[0, 1] > 0 and not delta.changes[0, 0].any()
    target = tuple(tiny.text.answer(REQUESTS[0].prompt, REQUESTS[0].target))
    question = Question(0, tuple(tiny.text.prompt(REQUESTS[0].prompt)), (target,))
    (after,), (before,) = (tiny.ask(s, [question], Decoding(0)) for s in (state, None))
    assert sum(after.forced[0].logprob) > sum(before.forced[0].logprob) + 1
    # With a threshold out of reach every answer is the unedited model's, bit for bit.
    never = EditState(
        1, {method.site(tiny): delta.with_tensors({**delta.tensors(), "thresholds": 1e6 * delta.thresholds})}
    )
    assert asked(tiny, never, list(PROMPTS)) == asked(tiny, None, list(PROMPTS))


def test_irrelevant_prompts_are_the_benchmarks_or_unrelated_ones_and_never_probes() -> None:
    tiny = engine("llama")
    method = wise(irrelevant=2)
    given = Request("g", PROMPTS[0], "Rome", "France", irrelevant=("The sky is", PROMPTS[0], "Snow is"))
    withheld = frozenset({digest("Snow is")})
    # Neither a probe nor the edit's own prompt.
    assert method._irrelevant(tiny, given, Context(0, withheld=withheld)) == ["The sky is"]
    pool = load_pool().general
    drawn = method._irrelevant(tiny, REQUESTS[0], Context())
    assert len(drawn) == 2 and set(drawn) <= set(pool)
    everything = Context(0, withheld=frozenset(digest(text) for text in pool))
    (report,) = method.fit(tiny, [[REQUESTS[0]]], None, everything).trainings
    assert report.error is not None and "irrelevant" in report.error


def test_the_unit_is_the_mean_length_of_the_activation() -> None:
    tiny = engine("llama", torch.float64)
    method = wise()
    site = method.site(tiny)
    lengths = []
    for text in load_pool().general:
        kept: list[Tensor] = []
        hook = tiny.model.module(site).register_forward_hook(lambda m, a, output, kept=kept: kept.append(output))
        tiny.model.model(input_ids=torch.tensor([tiny.text.prompt(text)]))
        hook.remove()
        lengths += functional.silu(kept[0][0]).norm(dim=-1).tolist()
    assert method._unit(tiny, site, "silu") == pytest.approx(sum(lengths) / len(lengths), rel=1e-9)
    assert wise(margins="absolute")._unit(tiny, site, "silu") == 1.0


def test_numbers_are_counted() -> None:
    tiny = engine("llama")
    method = wise(mask=0.25)
    outcome = method.fit(tiny, [[REQUESTS[0]]], None, Context())
    assert (outcome.trained, outcome.changed) == (48 * 32 // 4, 0)
    # What the mask leaves of one memory, and its threshold; the model's own weights stay as they are.
    assert outcome.state.stored() == [pytest.approx(48 * 32 / 4 + 1, rel=0.1)]


def test_memories_are_merged_whole() -> None:
    with pytest.raises(ValueError, match="multiple of save_every"):
        Settings(save_every=3, merge_every=4)
    assert settings_class("wise") is Settings


def test_a_model_without_a_named_activation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = engine("mistral")
    monkeypatch.setattr("baft.methods.wise._ACTIVATIONS", ("mlp_function",))
    with pytest.raises(UserError, match="activation function"):
        wise().check(tiny, Context())


def test_the_layer_is_easyedits() -> None:
    assert int(Settings().layer * 32) == 27
