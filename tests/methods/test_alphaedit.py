"""AlphaEdit's closed form against dense algebra and by hand, and its edits against plain torch on a model's own weights."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from baft.engine.engine import Engine
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError
from baft.methods.alphaedit import AlphaEdit, null_space
from baft.methods.base import Context
from baft.methods.layerwise import least_change
from baft.methods.registry import create
from tests.engine.test_fitting import REQUESTS
from tests.engine.tiny import engine
from tests.methods.test_memit import DOUBLE, Plain, context_of, covariance, dense, draws, fit, solved_along

TINY: Mapping[str, Any] = {
    "layers": [0, 1],
    "steps": 5,
    "tolerance": 0,
    "l2": 2.0,
    "null_share": 0.5,
    "prefixes": 2,
    "prefix_tokens": 3,
}


def made(**more: Any) -> AlphaEdit:
    method = create("alphaedit", {**TINY, **more})
    assert isinstance(method, AlphaEdit)
    return method


def as_published(
    keys: np.ndarray, residual: np.ndarray, matrix: np.ndarray, share: float, l2: float, earlier: np.ndarray
) -> np.ndarray:
    """The authors' solution: ( P (K Kᵀ + C_p) + L I )⁻¹ P K Rᵀ with P from a singular value decomposition."""
    left, values, _ = np.linalg.svd(matrix)
    kept = left[:, np.argsort(values)[: round(share * len(values))]]
    project = kept @ kept.T
    system = project @ (keys @ keys.T + earlier) + l2 * np.eye(len(keys))
    change: np.ndarray = np.linalg.solve(system, project @ keys @ residual.T).T
    return change


def test_one_key_by_hand() -> None:
    # P = diag(0, 1, 1) and k = (1, 1, 2): kᵀPk = 5, so Δ = 6 (0, 1, 2) / (5 + 1).
    change = solved_along([[1, 1, 2]], [[6]], [[0, 0], [1, 0], [0, 1]], 1.0)
    np.testing.assert_allclose(change, [[0, 1, 2]], atol=1e-14)
    np.testing.assert_allclose(change @ [1, 1, 2], [5])
    # The same key again, now known: (0, 1, 2) / (5 + 5 + 1).
    again = solved_along([[1, 1, 2]], [[1]], [[0, 0], [1, 0], [0, 1]], 1.0, [[1, 1, 2]])
    np.testing.assert_allclose(again, [[0, 1 / 11, 2 / 11]], atol=1e-14)


@pytest.mark.parametrize("count", [1, 3, 11], ids=["one", "few", "more than dimensions"])
@pytest.mark.parametrize("before", [0, 2], ids=["first", "later"])
def test_the_update_is_the_published_solution(count: int, before: int) -> None:
    keys, residual = draws(3, count)
    earlier = draws(3, before, seed=1)[0] if before else None
    matrix = covariance(7, 5)
    root = null_space(matrix, 1.0, 4 / 7)
    assert root.shape == (7, 4)
    update = least_change(keys, residual, root, 1.5, earlier)
    others = np.eye(7) - (root @ root.mT).numpy()
    for s in range(3):
        old = np.zeros((7, 7)) if earlier is None else (earlier[s].mT @ earlier[s]).numpy()
        expected = as_published(keys[s].mT.numpy(), residual[s].mT.numpy(), matrix.numpy(), 4 / 7, 1.5, old)
        np.testing.assert_allclose(dense(update, s), expected, rtol=1e-9, atol=1e-12)
        assert np.abs(dense(update, s) @ others).max() < 1e-13


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1, 1), (2, 4)])
def test_with_the_cache_any_split_of_the_edits_is_all_of_them_at_once(sizes: Sequence[int]) -> None:
    # One linear layer, so that earlier edits change no keys.
    keys, wanted = draws(1, 6)
    root = null_space(covariance(7, 5), 1.0, 5 / 7)
    start = draws(1, 7, inputs=4, seed=2)[0][0].numpy().T

    def run(split: Sequence[int], cache: bool) -> np.ndarray:
        weights, bounds = start.copy(), np.cumsum([0, *split])
        for a, b in pairwise(bounds):
            missing = wanted[0, a:b] - keys[0, a:b] @ torch.from_numpy(weights).mT
            weights += solved_along(keys[0, a:b], missing, root, 1.0, keys[0, :a] if cache and a else None)
        return weights

    whole = run((6,), cache=False)
    np.testing.assert_allclose(run(sizes, cache=True), whole, atol=1e-12)
    assert np.abs(run(sizes, cache=False) - whole).max() > 0.05


def test_the_null_space_is_that_of_the_small_eigenvalues() -> None:
    turned = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(3), dtype=DOUBLE))[0]
    matrix = turned @ torch.tensor([0.5, 0.01, 3.0, 0.03, 0.02], dtype=DOUBLE).diag() @ turned.mT

    def projection(root: Tensor) -> Tensor:
        return root @ root.mT

    def spanned(*columns: int) -> Tensor:
        return projection(turned[:, list(columns)])

    torch.testing.assert_close(projection(null_space(matrix, 0.025, None)), spanned(1, 4))
    torch.testing.assert_close(projection(null_space(matrix, 0.001, 0.6)), spanned(1, 4, 3))
    assert null_space(matrix, 0.001, None).shape == (5, 0)
    torch.testing.assert_close(projection(null_space(matrix, 0.001, 0.01)), spanned(1))


class PlainAlphaEdit(Plain):
    """With AlphaEdit's solution in the place of MEMIT's."""

    def solve(self, matrix: np.ndarray, keys: np.ndarray, residual: np.ndarray, earlier: np.ndarray) -> np.ndarray:
        settings = self.method.settings
        share = (settings.null_share or 0.0) if settings.project else 1.0  # type: ignore[attr-defined]
        return as_published(keys, residual, matrix, share, settings.l2, earlier)  # type: ignore[attr-defined]


SWITCHES = [{}, {"cache": False}, {"project": False, "null_share": None}]


@pytest.mark.parametrize("switches", SWITCHES, ids=["published", "no cache", "no projection"])
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_stream_of_batches_is_what_writing_the_weights_gives(kind: str, switches: Mapping[str, Any]) -> None:
    tiny, method = engine(kind, DOUBLE), made(**switches)
    assert bool(method.settings.needs().covariances) == method.settings.project
    plain = PlainAlphaEdit(tiny, method, copy.deepcopy(tiny.model.model))
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
    assert bool(state.memory) == method.settings.cache


def test_what_ordinary_text_looks_up_stays(tiny_llama: Engine) -> None:
    # Keys without a part in the null space get exactly what they had.
    method = made()
    state = fit(tiny_llama, method, [REQUESTS[:3]]).state
    for site, matrix in context_of(tiny_llama, method).covariances.items():
        free = null_space(matrix, 0.0, 0.5)
        key = torch.randn(len(matrix), generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
        change = torch.from_numpy(dense(state.deltas[site]))
        assert (change @ (key - free @ (free.mT @ key))).norm() < 1e-6 * (change @ key).norm()


def test_a_threshold_that_leaves_nothing_to_change_is_told_and_the_rank_is_said(
    tiny_llama: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UserError, match=r"0:mlp\.down_proj.*null_threshold, 1e-12"):
        fit(tiny_llama, made(null_share=None, null_threshold=1e-12), [[REQUESTS[0]]])
    with caplog.at_level(logging.INFO):
        fit(tiny_llama, made(), [[REQUESTS[0]]])
    assert "24 of the 48 dimensions" in caplog.text


def test_a_covariance_is_needed_where_something_is_projected(tiny_llama: Engine) -> None:
    with pytest.raises(UserError, match=r"0:mlp\.down_proj was not collected"):
        made().check(tiny_llama, Context())
    free = made(project=False)
    free.check(tiny_llama, Context())
    assert free.fit(tiny_llama, [[REQUESTS[0]]], None, Context()).trainings[0].error is None
