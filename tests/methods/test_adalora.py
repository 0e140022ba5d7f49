"""AdaLoRA against PEFT's, step by step, and the triplets that it keeps."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional

from baft.engine.engine import Engine
from baft.engine.merging import merged
from baft.engine.sites import Site
from baft.methods.adalora import Triplets, budget_after
from baft.methods.base import Context, Request
from baft.methods.registry import create
from baft.methods.settings.adalora import Settings
from tests.engine.test_fitting import REQUESTS
from tests.engine.tiny import engine

SETTINGS = {
    "rank": 3,
    "target_rank": 1,
    "alpha": 12.0,
    "steps": 9,
    "lr": 2e-2,
    "tolerance": 0,
    "warmup": 2,
    "settled": 3,
}


@pytest.fixture
def tiny() -> Engine:
    return engine("llama", torch.float64)


def begun(tiny: Engine, **settings: object) -> dict[Site, Triplets]:
    """The adapters of the first request before any step."""
    never = {**SETTINGS, "target_rank": 3, "steps": 1, "lr": 1e-300, "warmup": 0, "settled": 0, **settings}
    state = create("adalora", never).fit(tiny, [[REQUESTS[0]]], None, Context()).state
    return dict(state.deltas)  # type: ignore[arg-type]


def in_full(logits: torch.Tensor, labels: torch.Tensor, **_: object) -> torch.Tensor:
    return functional.cross_entropy(logits[0, :-1], labels[0, 1:])


def by_peft(
    tiny: Engine, request: Request, start: dict[Site, Triplets]
) -> dict[Site, tuple[torch.Tensor, torch.Tensor]]:
    """λ and the change of the weights after the same steps of PEFT's model, its allocator called as PEFT says."""
    peft = pytest.importorskip("peft", reason="peft is not installed (requirements.lock)")
    config = peft.AdaLoraConfig(
        init_r=3, target_r=1, lora_alpha=12, lora_dropout=0.0, tinit=2, tfinal=3, total_step=9, deltaT=1,
        target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM",
    )  # fmt: skip
    theirs = peft.get_peft_model(copy.deepcopy(tiny.model.model), config).to(torch.float64)
    # That of transformers is in float32, whatever the model's dtype.
    theirs.base_model.model.loss_function = in_full
    layers = {site: theirs.base_model.model.get_submodule(f"model.layers.{site.layer}.{site.module}") for site in start}
    for site, layer in layers.items():
        layer.lora_A["default"].data = start[site].down[0].clone()
        layer.lora_B["default"].data = start[site].up[0].T.clone()
    # PEFT leaves the number of triplets, which it divides by, among what is trained.
    optimiser = torch.optim.Adam([p for name, p in theirs.named_parameters() if "lora_" in name], lr=2e-2)
    prompt, answer = tiny.text.prompt(request.prompt), tiny.text.answer(request.prompt, request.target)
    labels = torch.tensor([[*[-100] * len(prompt), *answer]])
    for step in range(1, 10):
        # With labels, PEFT adds its penalty to the model's loss.
        theirs(input_ids=torch.tensor([[*prompt, *answer]]), labels=labels, use_cache=False).loss.backward()
        optimiser.step()
        theirs.base_model.update_and_allocate(step)
        optimiser.zero_grad()
    return {
        site: (layer.lora_E["default"].data[:, 0], layer.get_delta_weight("default").detach())
        for site, layer in layers.items()
    }


def test_an_edit_is_that_of_peft(tiny: Engine) -> None:
    start = begun(tiny)
    outcome = create("adalora", SETTINGS).fit(tiny, [[REQUESTS[0]], [REQUESTS[1]]], None, Context())
    for site, (values, change) in by_peft(tiny, REQUESTS[0], start).items():
        delta = outcome.state.deltas[site]
        assert isinstance(delta, Triplets)
        torch.testing.assert_close(delta.values[0], values, atol=1e-8, rtol=1e-6)
        torch.testing.assert_close(delta.matrix(0), change, atol=1e-8, rtol=1e-6)
    assert outcome.trainings[0].steps == 9


def test_the_final_ranks_add_up_to_the_target_and_differ_between_layers(tiny: Engine) -> None:
    outcome = create("adalora", SETTINGS).fit(tiny, [[r] for r in REQUESTS], None, Context())
    ranks = torch.stack([(delta.tensors()["values"] != 0).sum(1) for delta in outcome.state.deltas.values()])
    assert ranks.sum(0).tolist() == [len(ranks)] * len(REQUESTS)
    assert (ranks != 1).any()


def test_a_triplet_without_a_value_is_not_stored_and_changes_nothing(tiny: Engine) -> None:
    outcome = create("adalora", SETTINGS).fit(tiny, [[r] for r in REQUESTS], None, Context())
    stored, changed = [], []
    for s in range(len(REQUESTS)):
        deltas = [delta for delta in outcome.state.deltas.values() if isinstance(delta, Triplets)]
        left = [(delta, int((delta.values[s] != 0).sum())) for delta in deltas]
        stored.append(sum(k * (1 + delta.down.shape[-1] + delta.up.shape[-1]) for delta, k in left))
        changed.append(sum(delta.down.shape[-1] * delta.up.shape[-1] for delta, k in left if k))
    assert outcome.state.stored() == stored
    assert outcome.changed == changed


def test_with_equal_ranks_nothing_is_pruned(tiny: Engine) -> None:
    outcome = create("adalora", {**SETTINGS, "target_rank": 3}).fit(tiny, [[REQUESTS[0]]], None, Context())
    assert all((delta.tensors()["values"] != 0).all() for delta in outcome.state.deltas.values())


def test_an_edit_ends_early_only_with_its_final_ranks(tiny: Engine) -> None:
    report = create("adalora", {**SETTINGS, "tolerance": 1e9}).fit(tiny, [[REQUESTS[0]]], None, Context()).trainings[0]
    assert report.steps == 6


def test_the_budget_falls_with_a_cube() -> None:
    settings = Settings(rank=12, target_rank=8, steps=70, warmup=10, settled=20)
    assert [budget_after(step, settings, 10) for step in (10, 30, 49, 50)] == [120, 85, 80, 80]


def test_what_it_adds_is_its_matrix_and_can_be_merged(tiny: Engine) -> None:
    state = create("adalora", SETTINGS).fit(tiny, [[REQUESTS[0]]], None, Context()).state
    site, delta = next(iter(state.deltas.items()))
    assert isinstance(delta, Triplets)
    x = torch.randn(1, 4, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(delta.update(x, x, torch.tensor([0])), functional.linear(x, delta.matrix(0)))
    whole = merged(tiny.model, state)
    before, after = (m.model.layers[site.layer].self_attn.q_proj.weight for m in (tiny.model.model, whole))
    torch.testing.assert_close(after - before, delta.matrix(0))


def test_a_stream_goes_on_with_its_triplets(tiny: Engine) -> None:
    first = create("adalora", SETTINGS).fit(tiny, [[REQUESTS[0]]], None, Context()).state
    still = {**SETTINGS, "target_rank": 3, "steps": 1, "lr": 1e-300, "warmup": 0, "settled": 0}
    again = create("adalora", still).fit(tiny, [[REQUESTS[1]]], first, Context()).state
    for site, delta in first.deltas.items():
        torch.testing.assert_close(again.deltas[site].tensors(), delta.tensors())
