import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baft.benchmarks.sharding import shard
from baft.errors import UserError


@settings(deadline=None)
@given(st.lists(st.integers()), st.integers(1, 50))
def test_shards_in_order_are_the_records(records, count):
    parts = [shard(records, index, count) for index in range(count)]
    assert [record for part in parts for record in part] == records


@settings(deadline=None)
@given(st.integers(0, 500), st.integers(1, 50))
def test_sizes_differ_by_at_most_one(length, count):
    sizes = [len(shard(range(length), index, count)) for index in range(count)]
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(("index", "count"), [(0, 0), (-1, 2), (2, 2), (0, -3)])
def test_impossible_shards_are_refused(index, count):
    with pytest.raises(UserError, match="shard"):
        shard([1, 2, 3], index, count)
