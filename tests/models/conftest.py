from __future__ import annotations

from pathlib import Path

import pytest

from baft.config import ModelConfig
from tests.engine.tiny import engine


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A tiny model in a local folder, in the hub's layout."""
    tiny = engine("llama")
    tiny.model.model.save_pretrained(tmp_path / "tiny")
    tiny.text.tokenizer.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture
def config(place: Path) -> ModelConfig:
    return ModelConfig(source="folder", path=str(place))
