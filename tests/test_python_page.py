"""The page on editing in Python: its code runs as it stands, here on a tiny model in the place of the embedded one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import baft
from baft.config import ProtocolConfig
from tests.engine.tiny import engine
from tests.test_kept_edits import place, run

PAGE = Path(__file__).parents[1] / "docs" / "editing-in-python.md"

__all__ = ["place"]


def test_its_code_runs_as_it_stands(
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load_model(name: str) -> tuple[Any, Any]:
        assert name == "smollm2-135m"
        return engine("llama").model.model, engine("llama").text.tokenizer

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(baft, "load_model", load_model, raising=False)
    # The page's study has a record of the name that it opens.
    index = run(place, tmp_path / "results", "rome", ProtocolConfig(length=2), label="continual")
    written = json.loads(index.read_text())
    written["records"]["france-capital"] = written["records"].pop("r1")
    index.write_text(json.dumps(written))
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) == 2
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert len(names["edited"].requests) == 2
    assert (tmp_path / "edited-model/model.safetensors").is_file() and (tmp_path / "edit/edit.json").is_file()
