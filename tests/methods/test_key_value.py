"""What ROME, MEMIT and their kin share, where it is not seen through one of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from baft.engine import cutting
from baft.engine.deltas import LowRank
from baft.engine.positions import Everywhere
from baft.engine.rows import Grouping, Row, collate
from baft.methods.base import Context, Request, digest
from baft.methods.key_value import Descent, Lent, appended, at_marks, fact_rows, find_changes
from tests.engine.tiny import engine


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


def test_what_a_subject_is_is_compared_with_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last request's prompt on its subject is the shortest, so that it is in the first pass."""
    monkeypatch.setitem(cutting.PASS_TOKENS, "cpu", 0)
    tiny = engine("llama", torch.float64)
    requests = [
        Request("a", "The author of the book, said to be the country's greatest living poet, is", "Paris", "the book"),
        Request("b", "Paris is", "a poet", "Paris"),
        Request("c", "Marie Curie was born in", "Rome", "Marie Curie"),
    ]
    context = Context(withheld=frozenset({digest("Marie Curie is a")}))
    site, descent = tiny.model.mlp_output(1), Descent(3, 0.1, 0.0, 10.0, 100.0, 0.0)

    def changes(own: list[Request]) -> Tensor:
        rows = [row for n, request in enumerate(own) for row in fact_rows(tiny, n, request, [""])]
        clean = at_marks(tiny, rows, site, {})[1]
        return find_changes(tiny, own, [""], site, {}, clean, descent, context).params["change"]

    torch.testing.assert_close(changes(requests), torch.cat([changes([request]) for request in requests]))
