"""The page on adding a method: its code, as it stands, is a method."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import baft
from baft.methods.base import Context, Request
from baft.methods.registry import create, methods
from tests.engine.tiny import PROMPTS, TARGETS, engine

ROOT = Path(__file__).parents[2]
REQUESTS = [Request(f"r{n}", p, t) for n, (p, t) in enumerate(zip(PROMPTS, TARGETS, strict=True))]


def blocks() -> list[str]:
    """The Python of the page: settings, method, use, and the method's faster part."""
    found = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "adding-a-method.md").read_text(), re.M | re.S)
    assert len(found) == 4
    return found


def write_nudge(folder: Path) -> Path:
    """The method's two files, as the page says where they are."""
    (folder / "methods" / "settings").mkdir(parents=True)
    settings, method, *_ = blocks()
    (folder / "methods" / "settings" / "nudge.py").write_text(settings)
    (folder / "methods" / "nudge.py").write_text(method)
    return folder / "methods" / "nudge.py"


@pytest.fixture
def nudge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("baft.methods.registry._REGISTRY", dict(methods()))
    return write_nudge(tmp_path)


def test_it_edits_is_saved_and_loaded(nudge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = engine("llama")
    request = {"prompt": PROMPTS[0], "target": TARGETS[0]}
    names = {"model": tiny.model.model, "tokenizer": tiny.text.tokenizer, "requests": [request], "baft": baft}
    exec(blocks()[2], names)
    edited = baft.edit(tiny.model.model, tiny.text.tokenizer, [request], method="methods/nudge.py")
    plain = tiny.model.model
    assert torch.equal(names["edited"].state.deltas.popitem()[1].value, edited.state.deltas.popitem()[1].value)
    assert plain is tiny.model.model


def test_all_streams_at_once_give_what_one_at_a_time_gives(nudge: Path) -> None:
    slow = create(str(nudge), {"layer": 1, "steps": 6})
    code = nudge.read_text()
    start = code.index("    def edit_stream")
    fast_code = (code[:start] + blocks()[3]).replace(
        "from baft.methods.base import Outcome, Training\nfrom baft.methods.one_stream import OneStreamMethod",
        "from baft.methods.base import Method, Outcome, Training",
    )
    fast_path = nudge.with_name("fast.py")
    fast_path.write_text(fast_code.replace("OneStreamMethod", "Method").replace('"nudge"', '"fast"'))
    (nudge.parent / "settings" / "fast.py").write_text(blocks()[0])
    fast = create(str(fast_path), {"layer": 1, "steps": 6})
    tiny = engine("llama", torch.float64)
    states = []
    for method in (slow, fast):
        state = None
        for batches in ([REQUESTS[:1], REQUESTS[1:3]], [REQUESTS[3:4], REQUESTS[4:5]]):
            outcome = method.fit(tiny, batches, state, Context())
            assert [report.error for report in outcome.trainings] == [None, None]
            state = outcome.state
        states.append(state)
    (one,), (other,) = (state.deltas.values() for state in states if state is not None)
    assert one.tensors()["value"].abs().max() > 0.1
    torch.testing.assert_close(one.tensors(), other.tensors(), atol=1e-9, rtol=1e-9)


def test_it_passes_the_contract(tmp_path: Path) -> None:
    place = write_nudge(tmp_path)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "tests/methods/test_contract.py",
            "-k",
            "nudge",
        ],
        cwd=ROOT,
        env=os.environ | {"BAFT_METHODS": str(place), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.findall(r"(\d+) passed", done.stdout)[-1]) >= 9
