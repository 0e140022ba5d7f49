import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baft.benchmarks.records import KINDS, Benchmark, Probe, Record, Rejected, Remark
from baft.benchmarks.store import read_benchmark, write_benchmark
from baft.errors import UserError

# Any text that UTF-8 can hold: without surrogates.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
PROBES = st.builds(
    Probe, kind=st.sampled_from(KINDS), group=TEXT, index=st.integers(0, 99), prompt=TEXT, answers=TEXTS, contrast=TEXTS
)
RECORDS = st.builds(
    Record,
    id=TEXT,
    subject=TEXT,
    prompt=TEXT,
    target=TEXT,
    probes=st.lists(PROBES, max_size=3).map(tuple),
    truth=TEXTS,
    irrelevant=TEXTS,
)
BENCHMARKS = st.builds(
    Benchmark,
    name=TEXT,
    format=TEXT,
    revision=TEXT,
    split=st.sampled_from(["tune", "test"]),
    sha256=TEXT,
    records=st.lists(RECORDS, max_size=4).map(tuple),
    rejected=st.lists(st.builds(Rejected, id=TEXT, reason=TEXT), max_size=2).map(tuple),
    remarks=st.lists(st.builds(Remark, id=TEXT, text=TEXT), max_size=2).map(tuple),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@settings(deadline=None)
@given(BENCHMARKS)
def test_round_trip(folder, benchmark):
    path = folder / "benchmark.parquet"
    write_benchmark(benchmark, path)
    assert read_benchmark(path) == benchmark


def empty(name):
    return Benchmark(name=name, format="f", revision="r", split="tune", sha256="", records=())


def test_writing_makes_the_folder_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "deep" / "split=test" / "b.parquet"
    write_benchmark(empty("b"), path)
    assert [file.name for file in path.parent.iterdir()] == ["b.parquet"]
    assert read_benchmark(path).name == "b"


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "b.parquet"
    write_benchmark(empty("old"), path)
    broken = Record(id="1", subject="\ud800", prompt="p", target="t", probes=())
    with pytest.raises(UnicodeEncodeError):
        write_benchmark(Benchmark("new", "f", "r", "tune", "", (broken,)), path)
    assert read_benchmark(path).name == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["b.parquet"]


def test_what_is_not_a_benchmark_is_told(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_benchmark(tmp_path / "absent.parquet")
    (tmp_path / "text.parquet").write_text("not parquet")
    with pytest.raises(UserError, match="cannot be read as parquet"):
        read_benchmark(tmp_path / "text.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(UserError, match="is not a benchmark"):
        read_benchmark(tmp_path / "other.parquet")
