from pathlib import Path

import pytest

from baft.errors import UserError
from baft.methods.settings import Bases
from baft.report.bases import read_bases
from baft.results.schema import BASES
from baft.results.store import partition_path, write_rows
from tests.analysis.frames import position
from tests.results.synthetic import origin

WEIGHED = {"reft": {"weight": "one", "varies": False}, "baft": {"weight": "a gate"}, "baft_keyed": {"weight": "keys"}}


def write(root: Path, benchmark: str, rows: list[dict], model: str = "m") -> Path:
    path = partition_path(root, model=model, benchmark=benchmark)
    plain = [{name: row[name] for name in BASES.names} for row in rows]
    write_rows(plain, BASES, path, origin() | {"bases": WEIGHED})
    return path


def test_files_are_one_frame_with_their_keys(tmp_path: Path) -> None:
    paths = [write(tmp_path, name, position("editing", [1.0, 2.0])) for name in ("b", "a")]
    gated = write(tmp_path, "gated", position("editing", [3.0], [0.5]))
    found = read_bases([*paths, write(tmp_path, "empty", []), gated])
    assert found.rows[["model", "benchmark"]].to_numpy().tolist()[1:] == [["m", "b"]] + [["m", "a"]] * 2 + [
        ["m", "gated"]
    ]
    assert found.rows["move"].tolist() == [1.0, 2.0, 1.0, 2.0, 3.0]
    assert found.methods == ["baft", "reft"]
    shown = found.varying()
    assert shown.methods == ["baft"] and shown.rows["move"].tolist() == [3.0]
    assert shown.weighed["baft"] == Bases("a gate")


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    for files in ([], [write(tmp_path, "b", [])]):
        with pytest.raises(UserError, match="no analysed edits"):
            read_bases(files)
    with pytest.raises(UserError, match="edits are of ReFT: their bases weigh the same"):
        read_bases([write(tmp_path, "c", position("editing", [1.0]))]).varying()
    stray = tmp_path / "part.parquet"
    write_rows([], BASES, stray, origin())
    with pytest.raises(UserError, match="does not say its model"):
        read_bases([stray])
