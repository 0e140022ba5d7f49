from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from baft.config import ModelConfig
from baft.errors import UserError
from baft.models import prepare
from baft.models.prepare import CARD, fingerprint, prepare_model, read_card

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB = ModelConfig(source="hub", hub_id="org/name", revision=COMMIT)


def test_a_folder_gets_a_card_that_points_to_it(config: ModelConfig, place: Path, tmp_path: Path) -> None:
    prepare_model(config, tmp_path / "ready")
    assert [path.name for path in (tmp_path / "ready").iterdir()] == [CARD]
    card = read_card(tmp_path / "ready")
    assert card == {"folder": str(place), "fingerprint": fingerprint(place), "source": f"folder {place}"}


def test_what_was_prepared_before_is_gone(config: ModelConfig, tmp_path: Path) -> None:
    (tmp_path / "ready").mkdir()
    (tmp_path / "ready" / "model.safetensors").write_text("half a model")
    prepare_model(config, tmp_path / "ready")
    assert [path.name for path in (tmp_path / "ready").iterdir()] == [CARD]


def test_one_weight_changes_the_fingerprint_and_a_card_does_not(place: Path) -> None:
    before = fingerprint(place)
    assert len(before) == 16 and int(before, 16) >= 0
    (place / CARD).write_text("{}")
    (place / "notes.md").write_text("a note")
    assert fingerprint(place) == before
    weights = load_file(place / "model.safetensors")
    name = "model.layers.1.mlp.down_proj.weight"
    weights[name][3, 5] += 1e-3
    save_file(weights, place / "model.safetensors", {"format": "pt"})
    changed = fingerprint(place)
    assert changed != before
    weights[name][3, 5] -= 1e-3
    (place / "tokenizer.json").write_text("{}")
    assert fingerprint(place) not in (before, changed)


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"path: .*no model .*config\.json"):
        prepare_model(ModelConfig(source="folder", path=str(tmp_path)), tmp_path / "ready")
    assert not (tmp_path / "ready" / CARD).exists()


def test_the_hub_is_asked_for_the_pinned_revision(monkeypatch: pytest.MonkeyPatch, place: Path, tmp_path: Path) -> None:
    calls: list[tuple[str, dict[str, Any]]] = []
    snapshot = place.rename(place.with_name(COMMIT))

    def download(repo: str, **more: Any) -> str:
        calls.append((repo, more))
        return str(snapshot)

    monkeypatch.setattr(prepare, "snapshot_download", download)
    prepare_model(HUB, tmp_path / "ready")
    ((repo, more),) = calls
    assert (repo, more["revision"]) == ("org/name", COMMIT)
    # Weights as safetensors alone: pickled ones can run code.
    assert not [pattern for pattern in more["allow_patterns"] if "bin" in pattern or "pt" in pattern]
    card = read_card(tmp_path / "ready")
    assert (card["folder"], card["revision"], card["source"]) == (str(snapshot), COMMIT, "hub org/name")


@pytest.mark.parametrize("text", ["401 Client Error.\nmany more lines", ""])
def test_a_hub_that_refuses_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    def refuse(*args: Any, **more: Any) -> str:
        raise ConnectionError(text)

    monkeypatch.setattr(prepare, "snapshot_download", refuse)
    with pytest.raises(UserError, match=f"org/name at revision {COMMIT}.*ConnectionError") as caught:
        prepare_model(HUB, tmp_path / "ready")
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_prepared_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no prepared model: run 'baft prepare-model'"):
        read_card(tmp_path)
