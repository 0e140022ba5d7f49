from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from baft.engine import rows as rows_of_engine
from baft.engine.rows import Grouping, Row, collate, kept


@given(st.lists(st.integers(0, 6), min_size=1, max_size=12), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_rows_return_from_their_groups(streams: list[int], tokens: int) -> None:
    grouping = Grouping(torch.tensor(streams))
    x = torch.arange(len(streams) * tokens * 2).reshape(len(streams), tokens, 2)
    laid = grouping.gather(x)
    assert grouping.present.tolist() == sorted(set(streams))
    assert torch.equal(grouping.scatter(laid, tokens), x)
    # What a stream's parameters do reaches that stream's rows only.
    tagged = laid * 0 + grouping.present[:, None, None]
    assert torch.equal(grouping.scatter(tagged, tokens)[:, 0, 0], torch.tensor(streams))


@pytest.mark.parametrize(("streams", "broken"), [([0, 1, 1], 0), ([0, 0, 1], 1)])
def test_a_stream_that_is_not_finite_spoils_no_other_streams_gradients(streams: list[int], broken: int) -> None:
    grouping, stream = Grouping(torch.tensor(streams)), torch.tensor(streams)
    x, weight = torch.ones(3, 1, 1), torch.ones(2, 1, 1)
    x[stream == broken] = weight[broken] = torch.nan
    y = grouping.scatter(grouping.gather(x.requires_grad_()) @ weight.requires_grad_(), 1)
    y[stream != broken].sum().backward()
    assert x.grad is not None and x.grad[stream != broken].flatten().tolist() == [1, 1]
    assert weight.grad is not None and weight.grad[1 - broken].item() == 2


def test_a_batch_may_begin_before_or_inside_its_rows() -> None:
    rows = [Row(0, (5, 6, 7), 2), Row(1, (8,), 1)]
    batch = collate(rows, torch.device("cpu"), 0, [1, -1])
    assert batch.ids.tolist() == [[6, 7], [0, 8]]
    assert batch.positions.tolist() == [[1, 2], [-1, 0]]
    assert batch.real.tolist() == [[True, True], [False, True]]


def test_a_forced_answer_is_read_where_it_is_predicted() -> None:
    row = Row.forced(0, [1, 2, 3], [7, 8])
    assert row.ids == (1, 2, 3, 7)
    assert row.reads == ((2, 7), (3, 8))


@pytest.mark.parametrize("index", [[], [0], [3], [0, 1, 2, 3], [1, 2, 3], [0, 2]])
@pytest.mark.parametrize("large", [1, 7])
def test_entries_that_are_kept_are_those_that_were_there(
    index: list[int], large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_of_engine, "LARGE", large)
    whole = torch.arange(24).reshape(4, 3, 2)
    expected = whole[index].clone()
    found = kept(whole, torch.tensor(index, dtype=torch.int64))
    assert torch.equal(found, expected)
    # Large entries are moved where they lie, small ones copied.
    assert (found.untyped_storage().data_ptr() == whole.untyped_storage().data_ptr()) == (large == 1)
