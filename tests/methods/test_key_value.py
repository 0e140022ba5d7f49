"""What ROME, MEMIT and their kin share, where it is not seen through one of them."""

from __future__ import annotations

import torch
from torch import Tensor

from baft.engine.deltas import LowRank
from baft.engine.positions import Everywhere
from baft.engine.rows import Grouping, Row, collate
from baft.methods.key_value import Lent, appended


def updates(streams: int, rank: int, seed: int) -> LowRank:
    draw = torch.Generator().manual_seed(seed)
    down, up = (torch.randn(streams, rank, width, generator=draw, dtype=torch.float64) for width in (7, 4))
    return LowRank(Everywhere(), down, up)


def dense(update: LowRank) -> Tensor:
    return update.up.mT @ update.down


def test_updates_add_up_and_take_no_more_room_than_the_outputs_need() -> None:
    total, whole, ranks = torch.zeros(3, 4, 7, dtype=torch.float64), None, []
    for step in range(4):
        more = updates(2, 2, step)
        whole = appended(whole, more, torch.tensor([2, 0]), 3)
        total[[2, 0]] += dense(more)
        torch.testing.assert_close(dense(whole), total, rtol=1e-12, atol=1e-12)
        ranks.append(whole.down.shape[1])
        # A stream without an update of its own is left alone, bit for bit.
        assert not dense(whole)[1].any()
    assert ranks == [2, 4, 4, 4]


def test_a_lent_delta_is_its_owners() -> None:
    delta = updates(3, 2, 0)
    owner = torch.tensor([2, 2, 0, 1, 2])
    rows = [Row(stream, (1, 2, 3)[: 1 + stream % 3], 1) for stream in (0, 1, 1, 2, 3, 4)]
    draw = torch.Generator().manual_seed(1)
    x, y = (torch.randn(len(rows), 3, width, generator=draw, dtype=torch.float64) for width in (7, 4))

    def applied(own: Lent | LowRank, rows: list[Row]) -> Tensor:
        batch = collate(rows, torch.device("cpu"), 0)
        return own.apply(x[: len(rows)], y[: len(rows)], batch, Grouping(batch.stream))

    copied = delta.select(owner)
    lent = Lent(delta.where, owner, delta)
    torch.testing.assert_close(applied(lent, rows), applied(copied, rows))
    few = torch.tensor([4, 0, 3])
    own = [Row(stream, (1, 2, 3), 1) for stream in (0, 1, 2)]
    torch.testing.assert_close(applied(lent.select(few), own), applied(copied.select(few), own))
    groups = [[1, 2], [4]]
    for one, other in zip(lent.deal(groups), copied.deal(groups), strict=True):
        torch.testing.assert_close(applied(one, own[:1]), applied(other, own[:1]))
    flat = torch.randn(5, 2, 7, generator=draw, dtype=torch.float64)
    present = torch.tensor([0, 3, 4])
    torch.testing.assert_close(
        lent.update(flat[present], flat[present], present), copied.update(flat[present], flat[present], present)
    )
