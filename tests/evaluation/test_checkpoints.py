"""What a crash leaves of a job's progress: used if it is whole, and otherwise made again."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from baft.engine.state import EditState
from baft.evaluation.checkpoints import Checkpoints, Reached
from tests.engine.tiny import engine

STREAMS = ["a"]
EDIT = {"record_id": "a", "stream_id": "a"}
STATE = EditState(1, {}, {"x": torch.ones(1, 2)})


def kept(folder: Path) -> Checkpoints:
    checkpoints = Checkpoints(folder, "digest", engine("llama").model)
    for step, parts in ((0, (1,)), (1, (1, 2))):
        checkpoints.keep("0", STREAMS, Reached(step + 1, STATE, {}, parts=parts), [], [EDIT | {"step": step}])
    return checkpoints


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def test_what_is_whole_is_gone_on_from(tmp_path: Path) -> None:
    checkpoints = kept(tmp_path)
    reached = checkpoints.reached("0", STREAMS)
    assert reached.step == 2
    assert reached.state is not None and torch.equal(reached.state.memory["x"], STATE.memory["x"])
    assert [t["step"].to_pylist() for t in checkpoints.tables("edits", ["0"])] == [[0], [1]]


@pytest.mark.parametrize("damage", [shorten, Path.unlink])
@pytest.mark.parametrize("name", ["state-2/edit.safetensors", "state-2/edit.json", "edits-1.parquet", "done.json"])
def test_what_is_not_is_forgotten(tmp_path: Path, name: str, damage: Callable[[Path], None]) -> None:
    checkpoints = kept(tmp_path)
    damage(tmp_path / "0" / name)
    assert checkpoints.reached("0", STREAMS) == Reached()
    assert not (tmp_path / "0").exists()
