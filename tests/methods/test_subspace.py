from __future__ import annotations

import pytest
import torch

from baft.engine.asking import Decoding, Question
from baft.engine.deltas import Subspace
from baft.engine.engine import Engine
from baft.engine.state import EditState
from baft.methods.base import Context, Request
from baft.methods.registry import create
from baft.methods.subspace import orthonormal
from tests.engine.test_fitting import METHODS, REQUESTS

SHORT = Request("short", "a", "Rome")


@pytest.mark.parametrize("label", ["reft", "reft ends", "baft"])
def test_bases_are_orthonormal_after_training(label: str, tiny_llama: Engine) -> None:
    name, settings = METHODS[label]
    method = create(name, {**settings, "steps": 30, "tolerance": 0})
    state: EditState | None = None
    # The second fit goes on from the first one's bases.
    for _ in range(2):
        state = method.fit(tiny_llama, [[r] for r in REQUESTS], state, Context()).state
        (delta,) = state.deltas.values()
        assert isinstance(delta, Subspace)
        assert delta.rotation.dtype == torch.float32
        gram = delta.rotation.double() @ delta.rotation.double().mT
        assert float((gram - torch.eye(4, dtype=torch.float64)).abs().max()) < 1e-5


@pytest.mark.parametrize("label", ["reft", "baft", "baft growing"])
def test_a_prompt_of_one_token_is_edited_at_both_ends(label: str, tiny_llama: Engine) -> None:
    name, settings = METHODS[label]
    method = create(name, {**settings, "head": 1, "tail": 1})
    for batches in ([[SHORT]], [[SHORT], [REQUESTS[0]]]):
        outcome = method.fit(tiny_llama, batches, None, Context())
        assert [report.error for report in outcome.trainings] == [None] * len(batches)
        question = Question(0, tuple(tiny_llama.text.prompt(SHORT.prompt)), ((5, 6),))
        after, before = (tiny_llama.ask(state, [question], Decoding(0)) for state in (outcome.state, None))
        assert after != before


def test_an_orthonormal_basis_spans_the_same_space() -> None:
    basis = torch.randn(3, 4, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = orthonormal(basis)
    torch.testing.assert_close(rows @ rows.mT, torch.eye(4, dtype=torch.float64).expand(3, 4, 4))
    # Projecting on the new rows leaves the old ones where they are.
    torch.testing.assert_close(basis @ rows.mT @ rows, basis)
    # The Q of a QR decomposition, with the signs that make R's diagonal positive.
    q, r = torch.linalg.qr(basis.mT)
    torch.testing.assert_close(rows, (q * r.diagonal(dim1=1, dim2=2).sign()[:, None]).mT)


def test_a_basis_without_its_rank_is_not_finite_and_alone_in_that() -> None:
    basis = torch.randn(3, 2, 8, generator=torch.Generator().manual_seed(0))
    basis[1] = 0
    assert torch.isfinite(orthonormal(basis)).flatten(1).all(1).tolist() == [True, False, True]


def test_the_start_depends_on_seed_and_record_alone(tiny_llama: Engine) -> None:
    method = create("reft", {"layer": 1, "rank": 4, "steps": 1, "tolerance": 1e9})

    def starts(requests: list, seed: int = 0) -> torch.Tensor:
        (delta,) = method.fit(tiny_llama, [[r] for r in requests], None, Context(seed)).state.deltas.values()
        return delta.tensors()["rotation"]

    several = starts(REQUESTS)
    assert torch.equal(starts(REQUESTS[::-1]), several.flip(0))
    assert torch.equal(starts(REQUESTS[3:5]), several[3:5])
    assert not torch.equal(starts(REQUESTS[:1], seed=1), several[:1])
