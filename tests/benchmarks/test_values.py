import pytest

from baft.benchmarks.values import aliases, repaired, text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Paris", ("Paris",)),
        (["Paris", "City of Light"], ("Paris", "City of Light")),
        ([["a"], ["b"]], ("a", "b")),
        ([["a", "b"]], ("a", "b")),
        ([["a", "b"], ["b", "c"]], ("a", "b", "c")),
        ([["", " a "], None, []], ("a",)),
        (1997, ("1997",)),
        (None, ()),
        ([[]], ()),
        ({"str": "x"}, ()),
    ],
)
def test_aliases_of_every_shape(value, expected):
    assert aliases(value) == expected


def test_text_of_what_is_no_text_is_empty():
    assert [text(value) for value in (None, float("nan"), float("inf"), True, [], {})] == [""] * 6


def test_repaired_counts_lone_surrogates_at_any_depth():
    assert repaired({"a\udc00": ["x", {"b": "\ud800y"}, 3]}) == ({"a\ufffd": ["x", {"b": "\ufffdy"}, 3]}, 2)


def test_repaired_leaves_characters_beyond_the_first_plane():
    assert repaired("😀 שלום") == ("😀 שלום", 0)
