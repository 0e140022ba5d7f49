"""UltraEdit's closed form by hand and against dense algebra, and its edits against plain torch on a model's own weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from baft.engine.deltas import LowRank
from baft.engine.engine import Engine
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError
from baft.methods.base import Context, Request
from baft.methods.registry import create
from baft.methods.ultraedit import Pairs, Statistics, UltraEdit, general_requests, regression, wanted_changes
from baft.models.architectures import blocks_of
from tests.engine.test_fitting import REQUESTS
from tests.engine.tiny import engine

DOUBLE = torch.float64
EPS = float(np.finfo(np.float32).eps)
TINY: Mapping[str, Any] = {"down": [1, 2], "lr": 1e-2, "warmup": 3, "mini_batch": 2}


def made(**more: Any) -> UltraEdit:
    method = create("ultraedit", {**TINY, **more})
    assert isinstance(method, UltraEdit)
    return method


def pairs(keys: Any, gradients: Any) -> Pairs:
    return Pairs(torch.as_tensor(keys, dtype=DOUBLE), torch.as_tensor(gradients, dtype=DOUBLE))


def dense(update: Any, stream: int = 0) -> np.ndarray:
    assert isinstance(update, LowRank)
    return (update.up[stream].mT @ update.down[stream]).double().numpy()


def solved(pair: Pairs, statistics: Statistics, lr: float, rule: str, ridge: float = 1.0) -> np.ndarray:
    return dense(regression(pair.keys[None], wanted_changes(pair, statistics, lr, rule)[None], ridge))


@pytest.mark.parametrize(("rule", "expected"), [("ultraedit", [-0.125, 0.1]), ("rledit", [-0.125, 0.2])])
def test_two_tokens_by_hand(rule: str, expected: list[float]) -> None:
    # Deviations 1/√2, √2 and √2 with one degree of freedom, so that k̂ = ±(1, -1) / √2 and ĝ = ±1 / √2. The published rule's
    # deviations are √2 times as large, with which all of this is half as large, and ‖k̂‖² ĝ is divided by √8.
    pair = pairs([[1, 0], [0, 2]], [[1], [-1]])
    statistics = Statistics.none(3).after(pair.joined)
    deviation = (statistics.squares / (statistics.count - 1)).sqrt()
    np.testing.assert_allclose(deviation, np.sqrt([0.5, 2, 2]))
    published = Statistics(2, statistics.mean, 2 * statistics.squares)
    np.testing.assert_allclose(solved(pair, published, 1.0, rule), [expected], rtol=1e-6)
    more = np.sqrt(8) if rule == "ultraedit" else 2
    np.testing.assert_allclose(solved(pair, statistics, 1.0, rule), [more * np.array(expected)], rtol=1e-6)


def test_statistics_do_not_depend_on_how_they_came_in_pieces() -> None:
    vectors = torch.randn(9, 5, generator=torch.Generator().manual_seed(0), dtype=DOUBLE) + 3
    whole = Statistics.none(5).after(vectors)
    pieces = Statistics.none(5)
    for part in (vectors[:1], vectors[1:5], vectors[5:]):
        pieces = pieces.after(part)
    for one in (whole, pieces):
        assert one.count == 9
        torch.testing.assert_close(one.mean, vectors.mean(0))
        torch.testing.assert_close(one.squares, 9 * vectors.var(0, correction=0))
    torch.testing.assert_close(whole.normalised(vectors).std(0), torch.ones(5, dtype=DOUBLE), rtol=1e-5, atol=0)


def test_the_scale_of_the_loss_changes_nothing_in_the_first_step() -> None:
    draw = torch.Generator().manual_seed(1)
    keys, gradients = (torch.randn(4, n, generator=draw, dtype=DOUBLE) for n in (5, 3))
    found = []
    for scale in (1.0, 100.0):
        pair = pairs(keys, scale * gradients)
        found.append(solved(pair, Statistics.none(8).after(pair.joined), 0.1, "ultraedit"))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_the_regression_is_the_dense_one_and_rows_of_zeros_are_nothing() -> None:
    draw = torch.Generator().manual_seed(2)
    keys, wanted = (torch.randn(2, 6, n, generator=draw, dtype=DOUBLE) for n in (9, 4))
    keys[1, 4:], wanted[1, 4:] = 0, 0
    update = regression(keys, wanted, 0.7)
    for s, m in ((0, 6), (1, 4)):
        k, v = keys[s, :m].numpy(), wanted[s, :m].numpy()
        expected = np.linalg.solve(k.T @ k + 0.7 * np.eye(9), k.T @ v).T
        np.testing.assert_allclose(dense(update, s), expected, rtol=1e-9, atol=1e-12)


@dataclass
class Plain:
    """UltraEdit on one model, whose weights are written, with the published d_in x d_in system and a row at a time."""

    tiny: Engine
    method: UltraEdit
    model: PreTrainedModel
    seen: dict[tuple[int, int], list[np.ndarray]] = field(default_factory=dict)

    def module(self, site: Site) -> nn.Module:
        return blocks_of(self.model, self.tiny.model.architecture)[site.layer].get_submodule(site.module)

    def pairs(self, request: Request, site: Site, tokens: int) -> tuple[np.ndarray, np.ndarray]:
        """Keys and gradients of one request's answer tokens; ``tokens`` are those of its mini-batch."""
        ids = self.tiny.text.prompt(request.prompt)
        answer = self.tiny.text.answer(request.prompt, request.target)
        kept: list[Tensor] = []

        def keep(module: nn.Module, args: Any, output: Tensor) -> Tensor:
            leaf = output.detach().requires_grad_()
            kept.extend([args[0][0], leaf])
            return leaf

        handle = self.module(site).register_forward_hook(keep)
        logits = self.model(input_ids=torch.tensor([[*ids, *answer[:-1]]]), use_cache=False).logits[0, len(ids) - 1 :]
        handle.remove()
        loss = functional.cross_entropy(logits, torch.tensor(answer), reduction="sum") / tokens
        (gradient,) = torch.autograd.grad(loss, kept[1])
        at = slice(len(ids) - 1, len(ids) - 1 + len(answer))
        return kept[0][at].detach().numpy(), gradient[0, at].numpy()

    def collected(self, requests: Sequence[Request]) -> dict[Site, tuple[np.ndarray, np.ndarray]]:
        """By site all keys and gradients; they are seen by the statistics of their shape."""
        size = self.method.settings.mini_batch

        def length(request: Request) -> int:
            return len(self.tiny.text.prompt(request.prompt)) + len(
                self.tiny.text.answer(request.prompt, request.target)
            )

        ordered = sorted(requests, key=length, reverse=True)
        found: dict[Site, tuple[np.ndarray, np.ndarray]] = {}
        for site in self.method.sites(self.tiny):
            parts = []
            for start in range(0, len(ordered), size):
                batch = ordered[start : start + size]
                tokens = sum(len(self.tiny.text.answer(r.prompt, r.target)) for r in batch)
                parts += [self.pairs(request, site, tokens) for request in batch]
            keys, gradients = (np.concatenate(each) for each in zip(*parts, strict=True))
            found[site] = keys, gradients
            shape = (keys.shape[1], gradients.shape[1])
            self.seen.setdefault(shape, []).append(np.concatenate([keys, gradients], 1))
        return found

    def step(self, requests: Sequence[Request]) -> dict[Site, np.ndarray]:
        """Edits the weights with one batch and gives the change of each."""
        settings, changes = self.method.settings, {}
        for site, (keys, gradients) in self.collected(requests).items():
            changes[site] = keys, gradients
        found = {}
        for site, (keys, gradients) in changes.items():
            whole = np.concatenate(self.seen[keys.shape[1], gradients.shape[1]])
            z = (np.concatenate([keys, gradients], 1) - whole.mean(0)) / (whole.std(0, ddof=1) + EPS)
            key, gradient = z[:, : keys.shape[1]], z[:, keys.shape[1] :]
            other = key if settings.rule == "ultraedit" else keys
            wanted = -settings.lr * (other * key).sum(1, keepdims=True) * gradient
            system = keys.T @ keys + settings.ridge * np.eye(keys.shape[1])
            found[site] = np.linalg.solve(system, keys.T @ wanted).T
        for site, change in found.items():
            weight, added = self.module(site).weight, torch.from_numpy(change)
            assert isinstance(weight, Tensor)
            weight.data += added.mT if type(self.module(site)).__name__ == "Conv1D" else added
        return found


CASES = [("llama", {}), ("llama", {"rule": "rledit", "up": [1], "gate": [0, 1]}), ("gpt2", {}), ("gemma2", {})]


@pytest.mark.parametrize(("kind", "more"), CASES)
def test_a_stream_of_batches_is_what_writing_the_weights_gives(kind: str, more: Mapping[str, Any]) -> None:
    tiny, method = engine(kind, DOUBLE), made(**more)
    method.check(tiny, Context())
    plain = Plain(tiny, method, copy.deepcopy(tiny.model.model))
    plain.collected(general_requests(3))
    total: dict[Site, np.ndarray] = {}
    state: EditState | None = None
    for batch in ([REQUESTS[0]], REQUESTS[1:4], [REQUESTS[4]]):
        outcome = method.fit(tiny, [batch], state, Context())
        assert outcome.trainings[0].error is None
        state = outcome.state
        for site, change in plain.step(batch).items():
            total[site] = total.get(site, 0) + change
            distance = np.abs(dense(state.deltas[site]) - total[site]).max()
            assert distance < 1e-6 * np.abs(total[site]).max(), (site, distance)
    assert len(total) == len(method.sites(tiny))


def test_one_token_without_anything_before_it_is_no_edit_and_two_are() -> None:
    tiny, method = engine("llama", DOUBLE), made(warmup=0, down=[1])
    one = Request("one", "France is in", "", "France")
    answer = next(word for word in ("a", "Rome", "it", "the") if len(tiny.text.answer(one.prompt, word)) == 1)
    one = Request("one", one.prompt, answer, "France")
    outcome = method.fit(tiny, [[one], [one, REQUESTS[1]]], None, Context())
    assert "`warmup`" in (outcome.trainings[0].error or "")
    assert outcome.trainings[1].error is None
    assert outcome.state.edited.tolist() == [False, True]
    assert made(down=[1]).fit(tiny, [[one]], None, Context()).trainings[0].error is None


def test_general_text_is_as_surprising_as_an_edit() -> None:
    found = general_requests(5)
    assert len({request.prompt for request in found}) == len({request.target for request in found}) == 5
    assert {len(request.prompt.split()) for request in found} == {8}
    assert {len(request.target.split()) for request in found} == {2}


def test_a_layer_that_is_not_there_is_told() -> None:
    with pytest.raises(UserError, match=r"no linear layer 'mlp\.gate_proj'"):
        made(gate=[1]).check(engine("gpt2"), Context())
