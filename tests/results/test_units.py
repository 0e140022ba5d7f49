"""Which records count as one unit."""

from pathlib import Path

import pandas as pd
import pytest

from baft.results import store
from baft.results.summaries import summarise_cell
from baft.results.units import joined, units_by_kind
from tests.results.synthetic import edit, probe, write_shard

CELL = {"model": "m", "method": "toy", "protocol": "single", "benchmark": "b", "seed": 0}


def asked(record: str, prompts: str, kind: str = "locality", **values: object) -> list[dict]:
    return [probe(record, kind, index=n, prompt=text, agreement=1.0, **values) for n, text in enumerate(prompts)]


def summarised(root: Path, *shards: list[dict]) -> pd.DataFrame:
    written = []
    for number, rows in enumerate(shards):
        streams = {row["record_id"]: row["stream_id"] for row in rows}
        edits = [edit(record, stream_id=stream) for record, stream in streams.items()]
        written.append(write_shard(root, {**CELL, "shard": number}, rows, edits))
    out = store.partition_path(root / "records", **CELL)
    summarise_cell([probes for probes, _ in written], [edits for _, edits in written], out)
    return store.read_table([out]).to_pandas()


def test_records_that_share_a_question_are_one_unit_over_shards(tmp_path: Path) -> None:
    first = [*asked("a", "xy"), *asked("b", "z"), *asked("c", "v")]
    second = [*asked("d", "yw"), *asked("e", "w"), *asked("f", "u")]
    for record, prompt in zip("abcdef", "123456", strict=True):
        own = first if record in "abc" else second
        own.append(probe(record, "reliability", prompt=f"edit {prompt}", token_accuracy=1.0))
    # One question in another kind does not tie records together.
    first.append(probe("b", "portability", prompt="v", token_accuracy=1.0))
    found = summarised(tmp_path, first, second)
    units = found[found["group"].eq("*")].set_index(["metric", "record_id"])["unit_id"]
    # a and d ask y, d and e ask w.
    assert units["locality"].to_dict() == {"a": "a", "b": "b", "c": "c", "d": "a", "e": "a", "f": "f"}
    assert units["edit_success"].to_dict() == {record: record for record in "abcdef"}


def test_a_question_asked_at_several_moments_is_one(tmp_path: Path) -> None:
    rows = [row for moment in ("immediate", "final") for row in asked("a", "x", moment=moment)]
    found = summarised(tmp_path, [*rows, *asked("b", "y")])
    assert set(found["unit_id"]) == {"a", "b"}


def test_streams_stay_units(tmp_path: Path) -> None:
    rows = [*asked("a", "x", stream_id="s"), *asked("b", "y", stream_id="s"), *asked("c", "x", stream_id="t")]
    found = summarised(tmp_path, rows)
    assert found.groupby("record_id")["unit_id"].first().to_dict() == {"a": "s", "b": "s", "c": "t"}


def test_a_failed_edit_without_probes_is_a_unit_of_its_own(tmp_path: Path) -> None:
    paths = write_shard(tmp_path, CELL, asked("a", "x"), [edit("a"), edit("b", error="no")])
    assert units_by_kind([paths[0]]) == {"locality": {"a": "a"}}
    out = tmp_path / "out.parquet"
    summarise_cell([paths[0]], [paths[1]], out)
    found = store.read_table([out]).to_pandas().set_index("record_id")["unit_id"]
    assert found.groupby(level=0).first().to_dict() == {"a": "a", "b": "b"}


@pytest.mark.parametrize(
    ("columns", "together"),
    [
        ({"x": ["a", "b", "a", None]}, [0, 1, 0, 2]),
        ({"x": ["a", "b", "c", "d"], "y": ["p", "q", "p", None]}, [0, 1, 0, 2]),
        # A name in one column says nothing of another.
        ({"x": ["a", "b"], "y": ["b", "a"]}, [0, 1]),
        ({"x": ["a", "a", "b"], "y": ["p", "q", "q"]}, [0, 0, 0]),
    ],
)
def test_rows_are_joined_by_any_name_in_common(columns: dict[str, list], together: list[int]) -> None:
    found = pd.factorize(joined(pd.DataFrame(columns)))[0]
    assert found.tolist() == together
