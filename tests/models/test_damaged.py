"""Damaged folders of models: each is loaded as the model that it is, or refused in one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from baft.config import ModelConfig
from baft.engine.engine import Engine
from baft.errors import UserError
from baft.models.architectures import architecture_of
from baft.models.files import CARD
from baft.models.loading import load_model
from baft.models.prepare import prepare_model
from tests.engine.tiny import engine

JSON = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
WEIGHTS = "model.safetensors"

values = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 4, 0.5, -1e300, float("nan"), float("inf")]),
    st.sampled_from(["", "llama", "512", "\ud800"]),
    st.sampled_from([[], {}, [1, "x"], {"rope_type": "yarn"}, [[]]]),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("whole")
    tiny = engine("llama")
    tiny.model.model.save_pretrained(place)
    tiny.text.tokenizer.save_pretrained(place)
    return place


def runs(place: Path) -> bool:
    """Whether the folder's model is prepared, loaded and run; a refusal must be one sentence."""
    config = ModelConfig(source="folder", path=str(place), device="cpu")
    ready = place.with_name("ready")
    try:
        prepare_model(config, ready)
        model, tokenizer = load_model(config, ready)
        Engine.of(model, tokenizer, architecture=architecture_of(model)).text.prompt("Paris is")
    except UserError as error:
        assert str(error).strip() and "\n" not in str(error)
        return False
    return True


def copy_of(whole: Path, folder: Path) -> Path:
    place = folder / "model"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(whole, place)
    return place


FUZZ = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_the_whole_folder_runs(whole: Path, tmp_path: Path) -> None:
    assert runs(copy_of(whole, tmp_path))


@FUZZ
@given(data=st.data())
def test_bytes_that_are_changed_or_missing(whole: Path, tmp_path: Path, data: st.DataObject) -> None:
    place = copy_of(whole, tmp_path)
    file = place / data.draw(st.sampled_from((WEIGHTS, *JSON)))
    content = bytearray(file.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    for _ in range(data.draw(st.integers(0, 4))):
        if content:
            # The heads of the files decide more than the rest.
            last = min(len(content), data.draw(st.sampled_from([16, 2000, 2**31]))) - 1
            content[data.draw(st.integers(0, last))] = data.draw(st.integers(0, 255))
    file.write_bytes(content)
    runs(place)


@FUZZ
@given(data=st.data())
def test_keys_of_the_wrong_type(whole: Path, tmp_path: Path, data: st.DataObject) -> None:
    place = copy_of(whole, tmp_path)
    file = place / data.draw(st.sampled_from(("config.json", "config.json", *JSON)))
    about = json.loads(file.read_text())
    for _ in range(data.draw(st.integers(1, 2))):
        key = data.draw(st.sampled_from(sorted(about)))
        if data.draw(st.booleans()):
            about[key] = data.draw(values)
        else:
            about.pop(key)
        if not about:
            break
    file.write_text(json.dumps(about))
    runs(place)


@settings(FUZZ, max_examples=10)
@given(missing=st.sets(st.sampled_from((WEIGHTS, *JSON)), min_size=1), empty=st.booleans())
def test_files_that_are_missing_or_empty(whole: Path, tmp_path: Path, missing: set[str], empty: bool) -> None:
    place = copy_of(whole, tmp_path)
    for name in missing:
        (place / name).write_bytes(b"") if empty else (place / name).unlink()
    ran = runs(place)
    assert not (ran and missing & {WEIGHTS, "config.json", "tokenizer.json"})


@settings(FUZZ, max_examples=15)
@given(card=st.one_of(values, st.dictionaries(st.sampled_from(["folder", "fingerprint", "source"]), values)))
def test_a_damaged_card(whole: Path, tmp_path: Path, card: object) -> None:
    place = copy_of(whole, tmp_path)
    config = ModelConfig(source="folder", path=str(place), device="cpu")
    prepare_model(config, tmp_path / "ready")
    (tmp_path / "ready" / CARD).write_text(json.dumps(card))
    with pytest.raises(UserError):
        load_model(config, tmp_path / "ready")
