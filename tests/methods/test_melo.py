"""MELO: its clusters by hand, and a block against LoRA written out in plain PyTorch."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from baft.engine.asking import Decoding, Question
from baft.engine.engine import Engine
from baft.engine.positions import Everywhere
from baft.engine.rows import Row, collate
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError
from baft.methods.base import Context, Request
from baft.methods.melo import NO_BLOCK, Blocks, Cluster, Halving, Index, Melo
from baft.methods.radii import rounding
from baft.methods.registry import create
from tests.engine.tiny import PROMPTS, SUBJECTS, TARGETS, engine

A, B = 1.0, 2.0
HERE, THERE, NOWHERE = 7.0, 8.0, 9.0
"""Numbers of prompts."""
REQUESTS = [
    Request(f"r{n}", prompt, target, subject)
    for n, (prompt, target, subject) in enumerate(zip(PROMPTS, TARGETS, SUBJECTS, strict=True))
]
SETTINGS = {"layers": (1, 2), "reads": 0, "steps": 7, "halve": 3, "lr": 1e-2, "scale": 4.0, "radius": 1e-3}


def at(position: float) -> Tensor:
    return torch.tensor([position, 0.0], dtype=torch.float64)


def index() -> Index:
    """One cluster at 0 with label A and radius 1, whose block is the first."""
    made = Index(1.0)
    made.place(at(0), HERE, A, 1)
    return made


def found(made: Index, position: float) -> int:
    """What :func:`found_at` gives for a query at a position."""
    return found_at(made, at(position))


def found_at(made: Index, query: Tensor) -> int:
    """The block that a query gets, counted from 0, or -1."""
    points = [(key, block, m) for m, cluster in enumerate(made.clusters) for key, block in cluster.points]
    delta = Blocks(
        Everywhere(),
        "prompt",
        Site(0),
        False,
        torch.zeros(1, 9, 1, len(query)),
        torch.zeros(1, 9, 1, len(query)),
        torch.stack([c.centre for c in made.clusters])[None],
        torch.tensor([[c.radius for c in made.clusters]], dtype=query.dtype),
        torch.stack([key for key, _, _ in points])[None],
        torch.tensor([[m for _, _, m in points]]),
        torch.tensor([[block for _, block, _ in points]]),
    )
    return int(delta._found(query[None], 0))


def test_a_far_query_makes_a_cluster_whatever_it_says() -> None:
    for label in (A, B):
        made = index()
        made.place(at(2.5), THERE, label, 2)
        assert [c.radius for c in made.clusters] == [1.0, 1.0]
        assert [found(made, x) for x in (0.5, 2.0, 1.4, 9.0)] == [0, 1, -1, -1]


def test_a_query_with_the_same_label_joins() -> None:
    made = index()
    made.place(at(1.8), THERE, A, 2)
    (cluster,) = made.clusters
    # The centre is the mean, and the radius reaches the farthest key but is never less than at first.
    assert torch.equal(cluster.centre, at(0.9)) and cluster.radius == 1.0
    made.place(at(2.8), NOWHERE, A, 3)
    assert float(cluster.centre[0]) == pytest.approx(4.6 / 3) and cluster.radius == pytest.approx(4.6 / 3)
    # Within a cluster the nearest key's block counts.
    assert [found(made, x) for x in (0.2, 1.7, 2.5, 3.5)] == [0, 1, 2, -1]


def test_a_query_with_another_label_splits_the_distance() -> None:
    made = index()
    made.place(at(1.5), THERE, B, 2)
    assert [c.radius for c in made.clusters] == [pytest.approx(0.74999, abs=1e-12), pytest.approx(0.75001, abs=1e-12)]
    assert [found(made, x) for x in (0.7, 0.8, 2.3)] == [0, 1, -1]


def test_keys_that_a_shrunken_cluster_no_longer_covers_are_given_up() -> None:
    made = Index(1.0, [Cluster(at(0), 2.0, A, [(at(-1.9), 1), (at(0.3), 2)])], 2)
    made.place(at(2.0), THERE, B, 3)
    assert [[block for _, block in c.points] for c in made.clusters] == [[2], [3]]
    # If none is left, what falls into it gets no block.
    made = Index(1.0, [Cluster(at(0), 2.0, A, [(at(-1.9), 1), (at(1.9), 2)])], 2)
    made.place(at(2.0), THERE, B, 3)
    assert made.clusters[0].points[0][1] == NO_BLOCK
    assert [found(made, x) for x in (0.5, 1.5)] == [-1, 2]


def test_an_edit_of_the_same_prompt_takes_the_cluster_over() -> None:
    made = index()
    made.place(at(0.1), HERE, B, 2)
    assert torch.equal(made.clusters[0].centre, at(0.1))
    assert [(c.label, c.radius, [b for _, b in c.points]) for c in made.clusters] == [(B, 1.0, [2])]


def test_a_cluster_of_several_prompts_is_no_prompts_own() -> None:
    made = index()
    made.place(at(0), HERE, A, 2)
    assert made.clusters[0].prompt == HERE
    made.place(at(1.8), THERE, A, 3)
    # So an edit of one of them splits it.
    made.place(at(0), HERE, B, 4)
    assert [c.label for c in made.clusters] == [A, B]


def test_as_published_a_key_is_of_prompt_and_target() -> None:
    again = Request("again", REQUESTS[0].prompt, "a poet")
    for routing, same in (("prompt", True), ("published", False)):
        method = create("melo", {"routing": routing})
        assert isinstance(method, Melo)
        assert (method._number(REQUESTS[0]) == method._number(again)) is same


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_an_edit_that_widens_a_cluster_is_found_though_rounding_moves_its_key(dtype: torch.dtype) -> None:
    tiny, method = engine("llama", dtype), create("melo", SETTINGS)
    assert isinstance(method, Melo)
    keys = method._keys(tiny, REQUESTS)
    rows = [Row(0, tuple(ids), len(ids)) for ids in (tiny.text.prompt(request.prompt) for request in REQUESTS)]
    _, outputs = tiny.model.activations(collate(rows, torch.device("cpu"), tiny.pad), method.read(tiny))
    asked = [output[len(row.ids) - 1].to(keys.dtype) for row, output in zip(rows, outputs, strict=True)]
    for n, first in enumerate(keys):
        for m, own in enumerate(keys):
            if n != m:
                made = Index(0.3 * float((own - first).norm()), rounding=rounding(tiny))
                made.clusters = [Cluster(first, 5 * made.radius, A, [(first, 1)])]
                made.place(own, THERE, A, 2)
                assert found_at(made, asked[m]) == 1


def test_the_newest_of_clusters_at_one_distance_counts() -> None:
    made = Index(1.0, [Cluster(at(0), 1.0, A, [(at(0), 1)]), Cluster(at(2), 1.0, B, [(at(2), 2)])], 2)
    assert found(made, 1.0) == 1


def test_the_rate_is_halved_in_steps() -> None:
    params = {"p": torch.zeros(1, dtype=torch.float64)}
    theirs = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([theirs], lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 3, 0.5)
    mine = Halving(params, 0.1, 3)
    for step in range(8):
        gradient = torch.tensor([1.0 + step], dtype=torch.float64)
        mine.step(params, {"p": gradient})
        theirs.grad = gradient
        optimiser.step()
        schedule.step()
    torch.testing.assert_close(params["p"], theirs.detach())


def fit(tiny: Engine, batches: list[list[Request]], state: EditState | None = None, **settings: Any) -> EditState:
    outcome = create("melo", {**SETTINGS, **settings}).fit(tiny, batches, state, Context())
    assert not any(report.failed for report in outcome.trainings)
    return outcome.state


def blocks(state: EditState, layer: int = 1) -> Blocks:
    (delta,) = (delta for site, delta in state.deltas.items() if site.layer == layer)
    assert isinstance(delta, Blocks)
    return delta


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_block_is_trained_as_plain_adapters_are(kind: str) -> None:
    tiny = engine(kind, torch.float64)
    shared = REQUESTS[:2]
    start, trained = fit(tiny, [shared], steps=1, lr=1e-12), fit(tiny, [shared])
    model = copy.deepcopy(tiny.model.model)
    pairs = {}
    for layer in (1, 2):
        a = blocks(start, layer).down[0, 0].clone().requires_grad_()
        b = torch.zeros(2, blocks(start, layer).up.shape[-1], dtype=a.dtype, requires_grad=True)
        pairs[layer] = (a, b)
        name = f"model.layers.{layer}.mlp.down_proj" if kind == "llama" else f"transformer.h.{layer}.mlp.c_proj"

        def add(module: Any, args: Any, output: Any, a=a, b=b) -> Any:
            return output + 4.0 * (args[0] @ a.T) @ b

        model.get_submodule(name).register_forward_hook(add)
    optimiser = torch.optim.Adam([p for pair in pairs.values() for p in pair], lr=1e-2)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 3, 0.5)
    for _ in range(SETTINGS["steps"]):  # type: ignore[call-overload]
        optimiser.zero_grad()
        losses = []
        for request in shared:
            prompt, answer = tiny.text.prompt(request.prompt), tiny.text.answer(request.prompt, request.target)
            logits = model(input_ids=torch.tensor([[*prompt, *answer]]), use_cache=False).logits[0]
            losses.append(functional.cross_entropy(logits[len(prompt) - 1 : -1], torch.tensor(answer)))
        torch.stack(losses).mean().backward()
        optimiser.step()
        schedule.step()
    for layer, (a, b) in pairs.items():
        found = blocks(trained, layer)
        torch.testing.assert_close(
            found.up[0, 0].T @ found.down[0, 0], 4.0 * b.detach().T @ a.detach(), atol=1e-9, rtol=1e-7
        )
        assert b.detach().abs().max() > 1e-3


def questions(tiny: Engine, prompts: list[str]) -> list[Question]:
    return [Question(0, tuple(tiny.text.prompt(p)), ((5, 6, 7),)) for p in prompts]


def test_a_later_edit_leaves_an_earlier_ones_answers_as_they_are() -> None:
    tiny = engine("llama", torch.float64)
    first = fit(tiny, [[REQUESTS[0]]])
    second = fit(tiny, [[REQUESTS[1]]], first)
    one, other = questions(tiny, [PROMPTS[0]]), questions(tiny, [PROMPTS[1]])
    assert tiny.ask(first, one, Decoding(4, ())) == tiny.ask(second, one, Decoding(4, ()))
    assert tiny.ask(first, other, Decoding(4, ())) == tiny.ask(None, other, Decoding(4, ()))
    assert tiny.ask(second, other, Decoding(4, ())) != tiny.ask(None, other, Decoding(4, ()))
    # Bit for bit.
    far = questions(tiny, list(PROMPTS[3:]))
    assert tiny.ask(second, far, Decoding(4, ())) == tiny.ask(None, far, Decoding(4, ()))


def test_so_many_edits_of_a_step_share_a_block() -> None:
    tiny = engine("llama")
    found = blocks(fit(tiny, [REQUESTS[:5], REQUESTS[5:6]], together=2))
    assert found.block.tolist() == [[1, 1, 2, 2, 3], [1, 0, 0, 0, 0]]
    assert found.down.flatten(2).any(-1).tolist() == [[True, True, True], [True, False, False]]


@pytest.mark.parametrize(("match", "same"), [("tokens", False), ("sum", True)])
def test_when_two_targets_are_the_same(match: str, same: bool) -> None:
    method = create("melo", {"label_match": match})
    assert isinstance(method, Melo)

    class Told:
        def __init__(self) -> None:
            self.text = self

        def answer(self, prompt: str, target: str) -> list[int]:
            return {"x": [5, 9], "y": [6, 8]}[target]

    one, other = (method._label(Told(), Request("r", "p", target)) for target in ("x", "y"))  # type: ignore[arg-type]
    assert (one == other) is same


def test_numbers_are_counted() -> None:
    tiny = engine("llama")
    outcome = create("melo", {**SETTINGS, "together": 1}).fit(tiny, [REQUESTS[:3]], None, Context())
    block = 2 * (48 + 32)
    assert (outcome.trained, outcome.changed) == (2 * block, 0)
    # Of three edits: two matrices at each layer, and once a centre, a radius, a key, its block and its cluster, one of
    # which is the number 0.
    assert outcome.state.stored() == [3 * (2 * block + 32 + 1 + 32 + 2) - 1]


def test_an_index_above_the_blocks_is_refused() -> None:
    with pytest.raises(UserError, match="reads is 2, a later block than the first of layers, 1"):
        create("melo", {**SETTINGS, "reads": 2}).check(engine("llama"), Context())
