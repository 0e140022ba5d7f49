from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from baft.engine import cutting
from baft.engine.deltas import Offset
from baft.engine.passes import by_pass, prepare_passes
from baft.engine.positions import AtMark
from baft.engine.prepared import prepare
from baft.engine.rows import Row
from baft.engine.sites import Site
from tests.engine.test_fitting import METHODS, REQUESTS, fit
from tests.engine.tiny import engine


def rows() -> list[Row]:
    """Of three streams, very different in length, one that is only read at its mark."""
    ids = tuple(range(5, 37))
    return [
        Row.forced(1, ids[:20], ids[20:30], 3),
        Row.forced(0, ids[:4], ids[4:6], 2),
        Row(0, ids[:3], 3, 2, ((2, -1),)),
        Row.forced(2, ids[:18], ids[18:29], 1),
        Row.forced(1, ids[3:8], ids[8:9], 4),
    ]


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2"])
def test_each_read_of_each_row_is_that_of_the_row_alone(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cutting.PASS_TOKENS, "cpu", 1)
    tiny, site = engine(kind, torch.float64), Site(1)
    shift = torch.randn(3, tiny.model.hidden_size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    whole = prepare_passes(tiny.model, rows(), {site: AtMark()}, tiny.pad)
    assert len(whole.parts) > 1
    for held, streams in ((whole, [0, 1, 2]), (whole.select({2: 0, 1: 1}), [2, 1])):
        offset = {site: Offset(AtMark(), shift[streams])}
        states = held.states(offset)
        nlls = tiny.model.nll(states, *held.forced)
        assert sorted(held.stream.tolist()) == sorted(
            streams.index(row.stream) for row in rows() if row.stream in streams
        )
        for number, (row, stream) in enumerate(zip(held.rows, held.stream.tolist(), strict=True)):
            assert any((row.ids, streams[stream]) == (given.ids, given.stream) for given in rows())
            one = Row(0, row.ids, row.prompt, row.mark, row.reads)
            alone = prepare(tiny.model, [one], {site: AtMark()}, tiny.pad)
            expected = tiny.model.head(alone.states({site: Offset(AtMark(), shift[streams][[stream]])}))
            at = torch.nonzero(held.row == number)[:, 0]
            torch.testing.assert_close(tiny.model.head(states[at]), expected, rtol=1e-10, atol=1e-10)
            tokens = [token for _, token in row.reads]
            if tokens == [-1]:
                assert held.free.tolist() == at.tolist()
                assert nlls[at].tolist() == [0]
            else:
                nll = functional.cross_entropy(expected, torch.tensor(tokens), reduction="none")
                torch.testing.assert_close(nlls[at], nll, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("overhead", [1, 10**6])
def test_streams_numbered_by_pass_are_dealt_without_a_copy(overhead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cutting.PASS_TOKENS, "cpu", overhead)
    tiny, where = engine("llama", torch.float64), {Site(1): AtMark()}
    given = [row for n, row in enumerate(rows()) if n not in (2, 4)]
    order = by_pass(tiny.model, given, where)
    assert sorted(order) == [0, 1, 2]
    numbered = [replace(row, stream=order.index(row.stream)) for row in given]
    held = prepare_passes(tiny.model, numbered, where, tiny.pad)
    assert len(held.parts) == (1 if overhead > 1 else 2)
    value = torch.zeros(3, tiny.model.hidden_size, dtype=torch.float64)
    dealt = Offset(AtMark(), value).deal(held.streams)
    assert {part.value.untyped_storage().data_ptr() for part in dealt} == {value.untyped_storage().data_ptr()}
    assert by_pass(tiny.model, numbered, where) == [0, 1, 2]


@pytest.mark.parametrize("label", METHODS)
def test_an_edit_does_not_depend_on_how_its_rows_are_cut(label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny, found = engine("llama", torch.float64), []
    for overhead in (0, 10**6):
        monkeypatch.setitem(cutting.PASS_TOKENS, "cpu", overhead)
        found.append(fit(tiny, label, [REQUESTS[:3], REQUESTS[3:4], REQUESTS[4:]], steps=6))
    many, one = found
    assert [r.loss for r in many.trainings] == pytest.approx([r.loss for r in one.trainings], rel=1e-9)
    for site, delta in one.state.deltas.items():
        for name, tensor in delta.tensors().items():
            torch.testing.assert_close(many.state.deltas[site].tensors()[name], tensor, rtol=1e-7, atol=1e-7)
