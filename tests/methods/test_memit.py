"""MEMIT's closed form against dense algebra, and its edits against plain torch on a copied model's own weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from baft.engine.deltas import LowRank
from baft.engine.engine import Engine
from baft.engine.frozen import FrozenModel
from baft.engine.saved import load_state, save_state
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError
from baft.methods.base import Batches, Context, Outcome, Request
from baft.methods.key_value import essence_of
from baft.methods.layerwise import LayerwiseMethod, least_change
from baft.methods.memit import Memit
from baft.methods.registry import create
from baft.models.architectures import blocks_of
from tests.engine.devices import FIRST, SECOND, lies, spread
from tests.engine.test_fitting import REQUESTS
from tests.engine.tiny import engine

DOUBLE = torch.float64
TINY: Mapping[str, Any] = {
    "layers": [0, 1],
    "steps": 5,
    "lr": 0.1,
    "tolerance": 0,
    "covariance_weight": 2.0,
    "prefixes": 2,
    "prefix_tokens": 3,
}


def made(**more: Any) -> Memit:
    method = create("memit", {**TINY, **more})
    assert isinstance(method, Memit)
    return method


def covariance(width: int, seed: int) -> Tensor:
    keys = torch.randn(3 * width, width, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
    return keys.mT @ keys / len(keys)


def context_of(tiny: Engine, method: LayerwiseMethod) -> Context:
    return Context(0, {site: covariance(tiny.model.widths(site)[0], site.layer) for site in method.sites(tiny)})


def fit(tiny: Engine, method: LayerwiseMethod, batches: Batches, state: EditState | None = None) -> Outcome:
    context = context_of(tiny, method)
    method.check(tiny, context)
    return method.fit(tiny, batches, state, context)


def root_of(matrix: Tensor) -> Tensor:
    return made().root(matrix, len(matrix))


def dense(update: Any, stream: int = 0) -> np.ndarray:
    assert isinstance(update, LowRank)
    return (update.up[stream].mT @ update.down[stream]).double().numpy()


def solved_along(keys: Any, residual: Any, root: Any, weight: float, earlier: Any = None) -> np.ndarray:
    """Δ of one stream, whose keys and residuals are given as rows."""
    k, r, b = (torch.as_tensor(each, dtype=DOUBLE) for each in (keys, residual, root))
    before = None if earlier is None else torch.as_tensor(earlier, dtype=DOUBLE)[None]
    return dense(least_change(k[None], r[None], b, weight, before))


def solved(keys: Any, residual: Any, matrix: Any, weight: float, earlier: Any = None) -> np.ndarray:
    """The same with the root of a covariance."""
    return solved_along(keys, residual, root_of(torch.as_tensor(matrix, dtype=DOUBLE)), weight, earlier)


def test_one_key_by_hand() -> None:
    # (C + k kᵀ)⁻¹ = [[2, -1], [-1, 3]] / 5 for C = diag(2, 1) and k = (1, 1): Δ = 3 (1, 2) / 5.
    np.testing.assert_allclose(solved([[1, 1]], [[3]], [[2, 0], [0, 1]], 1.0), [[0.6, 1.2]], rtol=1e-14)
    # Without the covariance's weight the key gets all that it lacks.
    nearly = solved([[1, 1]], [[3]], [[2, 0], [0, 1]], 1e-12)
    np.testing.assert_allclose(nearly @ [1, 1], [3], rtol=1e-10)


def draws(streams: int, count: int, inputs: int = 7, outputs: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return (
        torch.randn(streams, count, inputs, generator=draw, dtype=DOUBLE),
        torch.randn(streams, count, outputs, generator=draw, dtype=DOUBLE),
    )


@pytest.mark.parametrize("count", [1, 3, 11], ids=["one", "few", "more than dimensions"])
@pytest.mark.parametrize("before", [0, 2], ids=["first", "later"])
def test_the_update_is_the_dense_closed_form(count: int, before: int) -> None:
    keys, residual = draws(3, count)
    earlier = draws(3, before, seed=1)[0] if before else None
    matrix, weight = covariance(7, 5), 1.5
    update = least_change(keys, residual, root_of(matrix), weight, earlier)
    for s in range(3):
        k, r = keys[s].numpy().T, residual[s].numpy().T
        system = weight * matrix.numpy() + k @ k.T
        if earlier is not None:
            system += earlier[s].numpy().T @ earlier[s].numpy()
        np.testing.assert_allclose(dense(update, s), r @ k.T @ np.linalg.inv(system), rtol=1e-9, atol=1e-11)


def test_the_order_of_keys_and_rows_of_zeros_do_not_matter() -> None:
    keys, residual = draws(1, 5)
    matrix = covariance(7, 5)
    whole = solved(keys[0], residual[0], matrix, 2.0)
    order = [3, 0, 4, 1, 2]
    np.testing.assert_allclose(solved(keys[0][order], residual[0][order], matrix, 2.0), whole, rtol=1e-10)
    padded = [torch.cat([each[0], torch.zeros(2, each.shape[2], dtype=DOUBLE)]) for each in (keys, residual)]
    np.testing.assert_allclose(solved(*padded, matrix, 2.0), whole, rtol=1e-10)


def test_a_key_that_is_no_number_spoils_its_own_stream_alone() -> None:
    keys, residual = draws(3, 2)
    keys[1, 0, 0] = torch.nan
    update = least_change(keys, residual, root_of(covariance(7, 5)), 1.0)
    assert update.down.isfinite().flatten(1).all(1).tolist() == [True, False, True]
    alone = least_change(keys[2:], residual[2:], root_of(covariance(7, 5)), 1.0)
    torch.testing.assert_close(update.down[2:], alone.down)


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1, 1), (2, 4), (5, 1)])
def test_with_the_cache_any_split_of_the_edits_is_all_of_them_at_once(sizes: Sequence[int]) -> None:
    # One linear layer, so that earlier edits change no keys.
    keys, wanted = draws(1, 6)
    matrix = covariance(7, 5)
    start = draws(1, 7, inputs=4, seed=2)[0][0].numpy().T

    def run(split: Sequence[int], cache: bool) -> np.ndarray:
        weights, bounds = start.copy(), np.cumsum([0, *split])
        for a, b in pairwise(bounds):
            missing = wanted[0, a:b] - keys[0, a:b] @ torch.from_numpy(weights).mT
            earlier = keys[0, :a] if cache and a else None
            weights += solved(keys[0, a:b], missing, matrix, 1.0, earlier)
        return weights

    whole = run((6,), cache=False)
    np.testing.assert_allclose(run(sizes, cache=True), whole, atol=1e-10)
    assert np.abs(run(sizes, cache=False) - whole).max() > 0.05


@dataclass
class Plain:
    """MEMIT as its authors wrote it: one model, whose weights are written, and a row at a time."""

    tiny: Engine
    method: LayerwiseMethod
    model: PreTrainedModel
    earlier: dict[Site, list[np.ndarray]] = field(default_factory=dict)

    def solve(self, matrix: np.ndarray, keys: np.ndarray, residual: np.ndarray, earlier: np.ndarray) -> np.ndarray:
        """Δ, with the keys (d_in, n) and residuals (d_out, n) as columns and Σ k kᵀ of the earlier keys."""
        assert isinstance(self.method, Memit)
        system = self.method.settings.covariance_weight * matrix + keys @ keys.T + earlier
        change: np.ndarray = residual @ keys.T @ np.linalg.inv(system)
        return change

    def module(self, site: Site) -> nn.Module:
        block = blocks_of(self.model, self.tiny.model.architecture)[site.layer]
        return block.get_submodule(site.module) if site.module else block

    def forward(self, ids: Sequence[int]) -> Tensor:
        logits: Tensor = self.model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]
        return logits

    def seen(self, site: Site, ids: Sequence[int], mark: int) -> np.ndarray:
        """The input of a linear layer, or the output of a block, at one token."""
        found: list[Tensor] = []

        def keep(module: nn.Module, args: Any, output: Any) -> None:
            found.append(args[0] if site.module else output[0] if isinstance(output, tuple) else output)

        handle = self.module(site).register_forward_hook(keep)
        with torch.no_grad():
            self.forward(ids)
        handle.remove()
        return found[0][0, mark].numpy()

    def looked_up(self, request: Request, text: str) -> tuple[list[int], int]:
        mark = self.tiny.text.last_token_of(request.prompt, request.subject, text)
        assert mark is not None
        return self.tiny.text.prompt(text + request.prompt), mark

    def wanted(self, request: Request, texts: Sequence[str], top: Site) -> np.ndarray:
        settings = self.method.settings
        clean = torch.from_numpy(self.seen(top, *self.looked_up(request, "")))
        change = torch.zeros_like(clean, requires_grad=True)
        adam = torch.optim.Adam([change], settings.lr)
        at: list[int] = []

        def shift(module: nn.Module, args: Any, output: Any) -> Any:
            hidden = output[0] if isinstance(output, tuple) else output
            hidden = hidden + functional.one_hot(torch.tensor(at[-1]), hidden.shape[1])[None, :, None] * change
            return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

        handle = self.module(top).register_forward_hook(shift)
        essence = essence_of(request, frozenset())
        assert essence is not None
        before: Tensor | None = None
        for _ in range(settings.steps):
            losses = []
            for text in texts:
                ids, mark = self.looked_up(request, text)
                answer = self.tiny.text.answer(text + request.prompt, request.target)
                at.append(mark)
                logits = self.forward([*ids, *answer[:-1]])[len(ids) - 1 :]
                losses.append(functional.cross_entropy(logits, torch.tensor(answer)))
            mark = self.tiny.text.last_token_of(essence, request.subject) or 0
            at.append(mark)
            about = self.forward(self.tiny.text.prompt(essence))[mark].log_softmax(-1)
            before = about.detach() if before is None else before
            divergence = (about.exp() * (about - before)).sum()
            decay = settings.decay * change.norm() / clean.norm() ** 2
            loss = torch.stack(losses).mean() + settings.kl * divergence + decay
            adam.zero_grad()
            loss.backward()
            adam.step()
            with torch.no_grad():
                most = settings.clamp * clean.norm()
                if change.norm() > most:
                    change *= most / change.norm()
        handle.remove()
        return (clean + change.detach()).numpy()

    def step(self, requests: Sequence[Request], context: Context) -> dict[Site, np.ndarray]:
        """Edits the weights with one batch and gives the change of each."""
        texts = ("", *self.method.prefixes.of(self.tiny, 0))
        sites = self.method.sites(self.tiny)
        top = Site(sites[-1].layer)
        wanted = [self.wanted(request, texts, top) for request in requests]

        def keys(site: Site) -> np.ndarray:
            found = [[self.seen(site, *self.looked_up(request, text)) for text in texts] for request in requests]
            return np.stack([(own[0] + np.mean(own[1:], 0)) / 2 for own in found], 1)

        changes = {}
        for number, site in enumerate(sites):
            now = [self.seen(top, *self.looked_up(request, "")) for request in requests]
            residual = (np.stack(wanted, 1) - np.stack(now, 1)) / (len(sites) - number)
            own = keys(site)
            earlier = sum((k @ k.T for k in self.earlier.get(site, [])), np.zeros((len(own), len(own))))
            changes[site] = self.solve(context.covariances[site].numpy(), own, residual, earlier)
            weight = self.module(site).weight
            assert isinstance(weight, Tensor)
            change = torch.from_numpy(changes[site])
            weight.data += change.mT if type(self.module(site)).__name__ == "Conv1D" else change
        if self.method.settings.cache:
            for site in sites:
                self.earlier.setdefault(site, []).append(keys(site))
        return changes


@pytest.mark.parametrize("cache", [False, True], ids=["published", "cache"])
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_stream_of_batches_is_what_writing_the_weights_gives(kind: str, cache: bool) -> None:
    tiny, method = engine(kind, DOUBLE), made(cache=cache)
    plain = Plain(tiny, method, copy.deepcopy(tiny.model.model))
    total: dict[Site, np.ndarray] = {}
    state: EditState | None = None
    for batch in ([REQUESTS[0]], REQUESTS[1:4], [REQUESTS[4]]):
        outcome = fit(tiny, method, [batch], state)
        assert outcome.trainings[0].error is None
        state = outcome.state
        for site, change in plain.step(batch, context_of(tiny, method)).items():
            total[site] = total.get(site, 0) + change
            distance = np.abs(dense(state.deltas[site]) - total[site]).max()
            assert distance < 1e-8 * np.abs(total[site]).max(), (site, distance)
    assert state is not None
    assert bool(state.memory) == cache


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2"])
def test_streams_with_batches_of_several_sizes_are_those_edited_alone(kind: str) -> None:
    tiny, method = engine(kind, DOUBLE), made(cache=True)
    steps = [[[REQUESTS[0]], REQUESTS[1:4]], [REQUESTS[4:6], [REQUESTS[6]]]]
    together: EditState | None = None
    for batches in steps:
        together = fit(tiny, method, batches, together).state
    assert together is not None
    for s in range(2):
        alone: EditState | None = None
        for batches in steps:
            alone = fit(tiny, method, [batches[s]], alone).state
        assert alone is not None
        for site in method.sites(tiny):
            one, other = dense(together.deltas[site], s), dense(alone.deltas[site])
            assert np.abs(one - other).max() < 1e-8 * np.abs(other).max()
            keys = together.memory[f"keys {site}"][s]
            assert len(alone.memory[f"keys {site}"][0]) == 3 + (s == 1)
            torch.testing.assert_close(keys[keys.any(-1)], alone.memory[f"keys {site}"][0])


def test_a_model_on_two_devices_is_edited_as_on_one(tmp_path: Path) -> None:
    tiny, method = engine("llama", DOUBLE), made(cache=True)
    steps = [[[REQUESTS[0]], REQUESTS[1:4]], [REQUESTS[4:6], [REQUESTS[6]]]]

    def edited(own: Engine) -> EditState:
        state: EditState | None = None
        for batches in steps:
            # What was saved lies in main memory.
            save_state(fit(own, method, batches, state).state, tmp_path, {})
            state, _ = load_state(tmp_path, own.model)
        assert state is not None
        return state

    alone = edited(tiny)
    with spread(tiny.model.model, tiny.model.blocks):
        apart = edited(Engine.of(tiny.model.model, tiny.text.tokenizer, token_budget=512))
        places = {site: {lies(t) for t in delta.tensors().values()} for site, delta in apart.deltas.items()}
        assert places == {site: {SECOND if site.layer else FIRST} for site in method.sites(tiny)}
    for site in method.sites(tiny):
        torch.testing.assert_close(apart.memory[f"keys {site}"], alone.memory[f"keys {site}"])
        for name, tensor in alone.deltas[site].tensors().items():
            torch.testing.assert_close(apart.deltas[site].tensors()[name], tensor, rtol=1e-8, atol=1e-10)


def test_passes_that_are_cut_give_what_one_gives() -> None:
    tiny, method = engine("llama", DOUBLE), made()
    small = replace(tiny, budget=type(tiny.budget)(40))
    first = fit(tiny, method, [[REQUESTS[7]]]).state
    whole, cut = (fit(each, method, [REQUESTS[:4]], first).state for each in (tiny, small))
    for site in method.sites(tiny):
        np.testing.assert_allclose(dense(cut.deltas[site]), dense(whole.deltas[site]), rtol=1e-7, atol=1e-10)


@pytest.fixture(scope="module")
def poisoned() -> Engine:
    """A model that gives NaN for every text with an Ω in it."""
    good = engine("llama", DOUBLE)
    model = copy.deepcopy(good.model.model)
    model.get_input_embeddings().weight.data[good.text.tokenizer("Ω").input_ids] = torch.nan
    return replace(good, model=FrozenModel(model, good.model.architecture))


BAD = Request("bad", "Ω is a country in", "Asia", "Ω")


def test_a_request_that_fails_leaves_its_batch_and_its_stream(poisoned: Engine) -> None:
    method = made(cache=True)
    first = fit(poisoned, method, [[REQUESTS[0]], [REQUESTS[1]]])
    second = fit(poisoned, method, [[BAD], [BAD, REQUESTS[2]]], first.state)
    assert "not finite" in (second.trainings[0].error or "")
    assert second.trainings[1].error is None
    assert second.trainings[1].failed.keys() == {"bad"}
    without = fit(poisoned, method, [[REQUESTS[2]]], first.state.select([1]))
    assert second.trainings[1].loss == without.trainings[0].loss
    for site in method.sites(poisoned):
        np.testing.assert_array_equal(dense(second.state.deltas[site], 0), dense(first.state.deltas[site], 0))
        np.testing.assert_allclose(dense(second.state.deltas[site], 1), dense(without.state.deltas[site]), atol=1e-12)
        name = f"keys {site}"
        assert not second.state.memory[name][0, 1:].any()
        torch.testing.assert_close(second.state.memory[name][0, :1], first.state.memory[name][0])
        assert len(second.state.memory[name][1]) == 2


def test_a_batch_of_nothing_but_failures_changes_nothing(poisoned: Engine) -> None:
    method = made()
    outcome = fit(poisoned, method, [[BAD, replace(BAD, id="worse")]])
    assert outcome.trainings[0].failed.keys() == {"bad", "worse"}
    assert outcome.trainings[0].error is not None
    assert not outcome.state.edited.any()


def test_layers_are_edited_lowest_first_and_once(tiny_llama: Engine) -> None:
    sites = made(layers=[2, 0.1, 0.3, 1]).sites(tiny_llama)
    assert [site.layer for site in sites] == [0, 1, 2]


def test_a_covariance_that_is_missing_or_of_no_use_is_told(tiny_llama: Engine) -> None:
    method = made()
    with pytest.raises(UserError, match=r"0:mlp\.down_proj"):
        method.check(tiny_llama, Context())
    good = context_of(tiny_llama, method).covariances
    flat = {site: torch.outer(c[0], c[0]) for site, c in good.items()}
    with pytest.raises(UserError, match="more tokens"):
        method.check(tiny_llama, Context(0, flat))
    # Of full rank, but not what any keys could have.
    wrong = {site: -c for site, c in good.items()}
    with pytest.raises(UserError, match="0:mlp"):
        method.check(tiny_llama, Context(0, wrong))


def test_the_subject_must_be_in_the_prompt(tiny_llama: Engine) -> None:
    method = made()
    outcome = fit(tiny_llama, method, [[Request("a", "It is", "Rome", "France")]])
    assert "MEMIT edits at its last token" in (outcome.trainings[0].error or "")
