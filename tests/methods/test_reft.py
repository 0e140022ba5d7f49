"""LoReFT against pyreft's own intervention on the same parameters."""

from __future__ import annotations

import pytest
import torch

from baft.engine.deltas import Subspace
from baft.engine.engine import Engine
from baft.engine.positions import PromptEnds
from baft.engine.rows import Grouping, Row, collate
from baft.methods.base import Context
from baft.methods.registry import create
from tests.engine.test_fitting import REQUESTS

RANK, LAYER = 4, 1
SETTINGS = {"layer": LAYER, "rank": RANK, "steps": 4, "lr": 2e-2, "tolerance": 0}
# Of six streams' rows, out of order and some streams twice.
STREAMS = (3, 0, 5, 1, 0, 4, 2, 3)
PROMPT_LENGTHS = (7, 1, 4, 2, 9, 5, 3, 6)


@pytest.fixture(scope="module")
def pyreft():
    return pytest.importorskip("pyreft", reason="pyreft is not installed (requirements-peers.lock)")


def peer(pyreft, delta: Subspace, stream: int):
    """pyreft's intervention with one stream's parameters."""
    width = delta.weight.shape[-1]
    made = pyreft.LoreftIntervention(embed_dim=width, low_rank_dimension=RANK, dtype=torch.float32)
    made.learned_source.weight.data.copy_(delta.weight[stream])
    made.learned_source.bias.data.copy_(delta.bias[stream])
    made.rotate_layer.weight = delta.rotation[stream].T
    torch.testing.assert_close(made.rotate_layer.weight, delta.rotation[stream].T, atol=1e-5, rtol=0)
    return made


def edited(length: int, head: int, tail: int) -> list[int]:
    """The positions of pyreft's 'f{head}+l{tail}': each end at most half of the prompt, if there are two.

    Of a prompt of one token pyreft has none then, and this project that one.
    """
    most = max(length // 2, 1) if head and tail else length
    return sorted({*range(min(head, most)), *range(length - min(tail, most), length)})


@pytest.mark.parametrize(("head", "tail"), [(0, 1), (2, 2), (3, 0), (4, 3)])
def test_the_trained_function_is_pyrefts(pyreft, tiny_llama: Engine, head: int, tail: int) -> None:
    method = create("reft", {**SETTINGS, "head": head, "tail": tail})
    (delta,) = method.fit(tiny_llama, [[r] for r in REQUESTS[:6]], None, Context()).state.deltas.values()
    assert isinstance(delta, Subspace)
    assert delta.where == PromptEnds(head, tail)
    rows = [Row(s, tuple(range(n + 2)), n) for s, n in zip(STREAMS, PROMPT_LENGTHS, strict=True)]
    batch = collate(rows, torch.device("cpu"), 0, [0, -3, 0, 0, -1, 0, 0, -2])
    h = torch.randn(*batch.ids.shape, 32, generator=torch.Generator().manual_seed(0))
    result = delta.apply(h, h, batch, Grouping(batch.stream))
    expected = h.clone()
    for b, (row, base) in enumerate(zip(rows, batch.base.tolist(), strict=True)):
        columns = [position - base for position in edited(row.prompt, head, tail)]
        with torch.no_grad():
            expected[b, columns] = peer(pyreft, delta, row.stream)(h[b, columns])
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)
    assert not torch.equal(result, h)


def test_it_starts_as_pyreft_does(pyreft, tiny_llama: Engine) -> None:
    # A tolerance that every stream meets at once: what is given back is the start.
    method = create("reft", {**SETTINGS, "tolerance": 1e9})
    outcome = method.fit(tiny_llama, [[r] for r in REQUESTS], None, Context())
    assert {report.steps for report in outcome.trainings} == {0}
    (delta,) = outcome.state.deltas.values()
    torch.manual_seed(0)
    theirs = [pyreft.LoreftIntervention(embed_dim=32, low_rank_dimension=RANK, dtype=torch.float32) for _ in REQUESTS]
    for name, values in (
        ("weight", [t.learned_source.weight for t in theirs]),
        ("bias", [t.learned_source.bias for t in theirs]),
        ("rotation", [t.rotate_layer.weight.T for t in theirs]),
    ):
        ours, other = delta.tensors()[name], torch.stack(values).detach()
        assert ours.shape == other.shape
        # Uniform in ±1/√d, or orthonormal: the same root mean square, and no value beyond the same bound.
        assert float(ours.square().mean()) == pytest.approx(float(other.square().mean()), rel=0.35)
        if name != "rotation":
            assert float(ours.abs().max()) <= 32**-0.5
    assert outcome.trained == RANK * (2 * 32 + 1)
    assert outcome.changed == 0
