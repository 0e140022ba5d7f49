import errno
import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from baft import files
from baft.errors import UserError
from baft.results import store
from baft.results.schema import EDITS, PROBES

EDIT = {"record_id": "a", "stream_id": "s", "step": 0}
CELL = {"model": "m", "method": "ft_l", "protocol": "single", "benchmark": "b", "seed": 0, "shard": 3}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_partition_path_has_the_folders_in_the_order_of_the_dataset(tmp_path: Path) -> None:
    path = store.partition_path(tmp_path, **dict(reversed(CELL.items())))
    assert path == tmp_path / "model=m/method=ft_l/protocol=single/benchmark=b/seed=0/shard=3/part.parquet"
    assert store.read_partition_values(path) == {name: str(value) for name, value in CELL.items()}


def test_partition_path_takes_part_of_the_keys(tmp_path: Path) -> None:
    assert store.partition_path(tmp_path, benchmark="b", model="m") == tmp_path / "model=m/benchmark=b/part.parquet"


@pytest.mark.parametrize("value", ["a/b", "a=b", "", "..", "a b", "a%20b"])
def test_partition_path_refuses_what_a_folder_cannot_carry(tmp_path: Path, value: str) -> None:
    with pytest.raises(UserError, match="method"):
        store.partition_path(tmp_path, method=value)


def test_partition_path_refuses_an_unknown_key(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="metod"):
        store.partition_path(tmp_path, metod="x")


def test_rows_and_provenance_come_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "part.parquet"
    rows = [EDIT, EDIT | {"record_id": "b", "loss": float("nan"), "seconds": 0.5, "error": "loss is NaN"}]
    provenance = {"versions": {"torch": "2"}, "moment": None, "text": "ü"}
    assert store.write_rows(iter(rows), EDITS, path, provenance) == 2
    assert store.read_provenance(path) == provenance
    table = store.read_table([path])
    assert table.schema.names == EDITS.names
    assert table["error"].to_pylist() == [None, "loss is NaN"]
    assert names(tmp_path) == ["part.parquet"]


def test_no_rows_still_make_a_typed_file(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    assert store.write_rows([], PROBES, path, {}) == 0
    assert store.is_whole(path)
    assert store.read_table([path]).schema.equals(PROBES)


def test_rows_beyond_one_row_group_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_ROWS_A_GROUP", 3)
    path = tmp_path / "part.parquet"
    store.write_rows(({**EDIT, "step": step} for step in range(10)), EDITS, path, {})
    assert store.read_table([path], ["step"])["step"].to_pylist() == list(range(10))


def test_pandas_reads_the_dataset_as_a_whole(tmp_path: Path) -> None:
    for seed in (0, 1):
        path = store.partition_path(tmp_path, **(CELL | {"seed": seed}))
        store.write_rows([EDIT], EDITS, path, {"seed": seed})
    # What a killed job leaves behind must not be taken for a part.
    path.with_name(".part.parquet.1.tmp").write_bytes(b"PAR1")
    frame = pd.read_parquet(tmp_path)
    assert len(frame) == 2
    assert set(frame.columns) == set(EDITS.names) | set(CELL)
    assert sorted(frame["seed"].astype(int)) == [0, 1]


@pytest.mark.parametrize(
    ("row", "name"), [({"record_id": "a", "step": 0}, "stream_id"), (EDIT | {"sekonds": 1.0}, "sekonds")]
)
def test_a_wrong_row_names_its_column_and_leaves_nothing(tmp_path: Path, row: dict[str, object], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        store.write_rows([EDIT, row], EDITS, tmp_path / "part.parquet", {})
    assert names(tmp_path) == []


def test_a_failure_halfway_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    store.write_rows([EDIT], EDITS, path, {"run": 1})

    def rows() -> object:
        yield EDIT
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.write_rows(rows(), EDITS, path, {"run": 2})  # type: ignore[arg-type]
    assert store.read_provenance(path) == {"run": 1}
    assert names(tmp_path) == ["part.parquet"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    def full(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.os, call, full)
    with pytest.raises(UserError, match="No space left"):
        store.write_rows([EDIT], EDITS, tmp_path / "part.parquet", {})
    assert names(tmp_path) == []


def test_a_disk_that_fills_while_writing_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # /dev/full takes an open and refuses each write, as a full disk does.
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    monkeypatch.setattr(files.secrets, "token_hex", lambda size: "0")
    monkeypatch.setattr(files, "_remove_leftovers", lambda path: None)
    (tmp_path / f".part.parquet.{os.getpid()}.0.tmp").symlink_to("/dev/full")
    with pytest.raises(UserError, match="No space left"):
        store.write_rows([EDIT], EDITS, tmp_path / "part.parquet", {})
    assert names(tmp_path) == []


def test_a_truncated_file_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    store.write_rows([EDIT] * 50, EDITS, path, {})
    assert store.is_whole(path)
    path.write_bytes(path.read_bytes()[:-20])
    assert not store.is_whole(path)
    for read in (store.read_provenance, lambda damaged: store.read_table([damaged])):
        with pytest.raises(UserError, match=r"part\.parquet is damaged"):
            read(path)


def test_a_flipped_byte_in_the_middle_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    store.write_rows([EDIT | {"error": f"e{i}"} for i in range(2000)], EDITS, path, {})
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    assert not store.is_whole(path)
    with pytest.raises(UserError, match="damaged"):
        store.read_table([path])


def test_missing_and_foreign_files_are_named(tmp_path: Path) -> None:
    assert not store.is_whole(tmp_path / "none.parquet")
    with pytest.raises(UserError, match="does not exist"):
        store.read_provenance(tmp_path / "none.parquet")
    pa.parquet.write_table(pa.table({"x": [1]}), tmp_path / "foreign.parquet")
    with pytest.raises(UserError, match="no provenance"):
        store.read_provenance(tmp_path / "foreign.parquet")
    with pytest.raises(UserError, match="no column 'y'"):
        store.read_table([tmp_path / "foreign.parquet"], ["y"])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "record_id": st.text(st.characters(exclude_categories=["Cs"])),
                "stream_id": st.just("s"),
                "step": st.integers(-1, 2**31 - 1),
            },
            optional={
                "loss": st.floats(allow_nan=False),
                "parameters_trained": st.integers(0, 2**63 - 1),
                "error": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
            },
        )
    )
)
def test_any_rows_come_back(tmp_path: Path, rows: list[dict[str, object]]) -> None:
    path = tmp_path / "part.parquet"
    store.write_rows(rows, EDITS, path, {})
    expected = [dict.fromkeys(EDITS.names) | row for row in rows]
    assert store.read_table([path]).to_pylist() == expected
