from __future__ import annotations

import pytest
import torch

from baft.engine.deltas import GatedSubspace, LowRank, SoftmaxSubspace, Subspace
from baft.engine.positions import AtMark, Everywhere, Onwards, PromptEnds, describe_where, parse_where
from baft.engine.rows import Row, collate

CPU = torch.device("cpu")


def rows() -> list[Row]:
    return [Row(0, (1, 2, 3, 4, 5, 6), 5), Row(1, (1, 2, 3), 2, mark=1)]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (PromptEnds(0, 1), ["000010", "010000"]),
        (PromptEnds(0, 9), ["111110", "110000"]),
        (PromptEnds(1, 1), ["100010", "110000"]),
        (PromptEnds(4, 4), ["110110", "110000"]),
        (PromptEnds(2, 0), ["110000", "110000"]),
        (Onwards(0, 1), ["000011", "011000"]),
        (Onwards(1, 1), ["100011", "111000"]),
        (AtMark(), ["000000", "010000"]),
    ],
)
def test_edited_positions(where: PromptEnds | AtMark, expected: list[str]) -> None:
    mask = where.mask(collate(rows(), CPU, 0))
    assert ["".join(str(int(m)) for m in line) for line in mask] == expected
    for row, line in zip(rows(), expected, strict=True):
        if "1" in line:
            assert where.first(row) == line.index("1")


@pytest.mark.parametrize("where", [PromptEnds(0, 1), PromptEnds(1, 1), PromptEnds(3, 2)])
def test_the_token_of_a_prompt_of_one_is_both_its_ends(where: PromptEnds) -> None:
    row = Row(0, (1, 2, 3), 1)
    assert where.mask(collate([row], CPU, 0)).tolist() == [[True, False, False]]
    assert where.first(row) == 0


def test_left_padding_moves_the_edited_columns_along() -> None:
    mask = PromptEnds(0, 1).mask(collate(rows(), CPU, 0, [0, -3]))
    assert mask.long().tolist() == [[0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 1, 0]]


@pytest.mark.parametrize("where", [Everywhere(), PromptEnds(2, 3), Onwards(0, 1), AtMark()])
def test_position_rules_are_written_and_read(where: Everywhere | PromptEnds | AtMark) -> None:
    assert parse_where(describe_where(where)) == where


def test_open_gates_are_no_gates() -> None:
    draw = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(2, 16, 3, generator=draw))[0].mT
    weight, bias = torch.randn(2, 3, 16, generator=draw), torch.randn(2, 3, generator=draw)
    plain = Subspace(Everywhere(), rotation, weight, bias)
    opened = GatedSubspace(Everywhere(), rotation, weight, bias, torch.zeros_like(weight), torch.full_like(bias, 40.0))
    shut = opened.with_tensors({"gate_bias": torch.full_like(bias, -200.0)})
    h, present = torch.randn(2, 5, 16, generator=draw), torch.arange(2)
    torch.testing.assert_close(opened.update(h, h, present), plain.update(h, h, present))
    assert shut.update(h, h, present).abs().max() == 0


def test_softmax_weights_compete_and_nothing_else_differs() -> None:
    draw = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(2, 16, 3, generator=draw, dtype=torch.float64))[0].mT
    weight, bias, gate_weight = (torch.randn(2, 3, *n, generator=draw, dtype=torch.float64) for n in ((16,), (), (16,)))
    made = SoftmaxSubspace(Everywhere(), rotation, weight, bias, gate_weight, bias + 1)
    sigmoid = GatedSubspace(Everywhere(), **made.tensors())
    h, present = 3 * torch.randn(2, 5, 16, generator=draw, dtype=torch.float64), torch.arange(2)
    gates = made.gates(h, present)
    torch.testing.assert_close(gates.sum(-1), torch.ones(2, 5, dtype=torch.float64))
    odds = sigmoid.gates(h, present)
    # Both are made from the same scores: σ(s) / (1 − σ(s)) is eˢ.
    odds = odds / (1 - odds)
    torch.testing.assert_close(gates, odds / odds.sum(-1, keepdim=True))
    torch.testing.assert_close(made.moves(h, present), sigmoid.moves(h, present), rtol=0, atol=0)
    torch.testing.assert_close(made.update(h, h, present), (gates * made.moves(h, present)) @ rotation)
    assert (Subspace(Everywhere(), rotation, weight, bias).gates(h, present) == 1).all()


@pytest.mark.parametrize("groups", [[[0, 1, 2]], [[0], [1, 2]], [[2, 0], [1], [0, 1]], [[1]]])
def test_groups_of_streams_are_dealt_at_once(groups: list[list[int]]) -> None:
    draw = torch.Generator().manual_seed(0)
    down, up = (torch.randn(3, 2, 4, dtype=torch.float64, generator=draw).requires_grad_() for _ in range(2))
    whole = LowRank(Everywhere(), down, up)
    dealt = whole.deal(groups)
    assert [len(one.down) for one in dealt] == [len(group) for group in groups]
    for one, group in zip(dealt, groups, strict=True):
        expected = whole.select(torch.tensor(group))
        assert torch.equal(one.down, expected.down) and torch.equal(one.up, expected.up)
    loss = sum((n + 1) * (one.down * one.up).square().sum() for n, one in enumerate(dealt))
    plain = sum((n + 1) * (down[group] * up[group]).square().sum() for n, group in enumerate(groups))
    for found, right in zip(*(torch.autograd.grad(f, [down, up]) for f in (loss, plain)), strict=True):
        torch.testing.assert_close(found, right)
