import pandas as pd
import pytest

from baft.benchmarks.describe import COLUMNS, describe
from baft.benchmarks.embedded import EMBEDDED, build
from baft.benchmarks.records import Benchmark, Probe, Record, Rejected, Remark


class Letters:
    """A tokenizer of one token a character."""

    def encode(self, text, *, add_special_tokens=True):
        return ([0] if add_special_tokens else []) + [ord(character) for character in text]


@pytest.fixture
def benchmark():
    first = (
        Probe("reliability", "", 0, "a b is", ("c",)),
        Probe("locality", "Other", 0, "one two three four", ("five six", "x")),
        Probe("locality", "Other", 1, "one two", ("five six seven", "x")),
        Probe("fluency", "", 0, "once upon", ()),
    )
    second = (Probe("reliability", "", 0, "d is", ("e",)), Probe("locality", "Forgetfulness", 0, "d", ("f",)))
    records = (Record("1", "a", "a b is", "c", first), Record("2", "z", "d is", "e", second))
    return Benchmark(
        "name", "f", "r", "tune", "", records, (Rejected("3", "has no target"),), (Remark("1", "x"), Remark("1", "y"))
    )


def row(table, kind, group=""):
    (found,) = table[(table.kind == kind) & (table.group == group)].to_dict("records")
    return found


def test_probes_are_counted_by_kind_and_group(benchmark):
    table = describe(benchmark)
    assert list(table.columns) == list(COLUMNS)
    other = row(table, "locality", "Other")
    assert (other["records"], other["count"], other["answers"]) == (1, 2, 2)
    assert (other["prompt_length"], other["prompt_longest"], other["answer_length"]) == (3, 4, 2.5)
    assert other["example"] == "one two three four"
    assert row(table, "reliability")["records"] == 2
    assert pd.isna(row(table, "fluency")["answer_length"])
    kinds = table.kind.tolist()
    assert kinds.index("reliability") < kinds.index("locality") < kinds.index("fluency")


def test_what_was_left_out_is_counted(benchmark):
    table = describe(benchmark)
    assert row(table, "edit")["records"] == 2
    assert row(table, "rejected")["records"] == 1
    assert row(table, "rejected")["example"] == "3: has no target"
    assert (row(table, "remarks")["records"], row(table, "remarks")["count"]) == (1, 2)
    assert row(table, "subject not in prompt")["example"] == "d is"


def test_lengths_are_in_tokens_without_special_ones(benchmark):
    assert row(describe(benchmark, Letters()), "locality", "Forgetfulness")["prompt_length"] == 1


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_benchmarks_can_be_described(name):
    built = build(name)
    table = describe(built)
    assert table[~table.kind.isin(["edit", "subject not in prompt", "rejected", "remarks"])]["count"].sum() == sum(
        len(record.probes) for record in built.records
    )


def test_a_benchmark_of_no_records_can_be_described():
    assert describe(Benchmark("n", "f", "r", "tune", "", ()))["count"].tolist() == [0, 0, 0, 0]
