from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from baft.config import ModelConfig
from baft.errors import UserError
from baft.models import prepare
from baft.models.files import CARD, HASHES, fingerprint
from baft.models.prepare import prepare_model, read_card, unchanged

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB = ModelConfig(source="hub", hub_id="org/name", revision=COMMIT)


def test_a_folder_gets_a_card_that_points_to_it(config: ModelConfig, place: Path, tmp_path: Path) -> None:
    prepare_model(config, tmp_path / "ready")
    assert sorted(path.name for path in (tmp_path / "ready").iterdir()) == [HASHES, CARD]
    card = read_card(tmp_path / "ready")
    assert card == {"folder": str(place), "fingerprint": fingerprint(place), "source": f"folder {place}"}


def test_what_was_prepared_before_is_gone(config: ModelConfig, tmp_path: Path) -> None:
    (tmp_path / "ready").mkdir()
    # What a preparation that was killed leaves.
    (tmp_path / "ready" / HASHES).write_text("{}")
    (tmp_path / "ready" / "model.safetensors").write_text("half a model")
    prepare_model(config, tmp_path / "ready")
    assert sorted(path.name for path in (tmp_path / "ready").iterdir()) == [HASHES, CARD]


@pytest.mark.parametrize("out", [".", "tiny", "notes.txt"])
def test_a_folder_that_was_not_prepared_is_never_removed(
    config: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("a year's work")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=r"was not made by 'baft prepare-model'"):
        prepare_model(config, Path(out))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_empty_folder_and_a_link_to_a_prepared_one_are_filled(config: ModelConfig, tmp_path: Path) -> None:
    (tmp_path / "ready").mkdir()
    prepare_model(config, tmp_path / "ready")
    (tmp_path / "link").symlink_to(tmp_path / "ready")
    prepare_model(config, tmp_path / "link")
    assert read_card(tmp_path / "ready") == read_card(tmp_path / "link")


def test_the_card_is_the_same_when_nothing_has_changed(config: ModelConfig, place: Path, tmp_path: Path) -> None:
    cards = []
    for covariance in (1, 2):
        prepare_model(config, tmp_path / "ready")
        cards.append((tmp_path / "ready" / CARD).read_bytes())
        os.utime(place / "model.safetensors", (covariance, covariance))
    assert cards[0] == cards[1]


def test_a_change_since_is_told_before_the_model_is_used(config: ModelConfig, place: Path, tmp_path: Path) -> None:
    prepare_model(config, tmp_path / "ready")
    assert unchanged(config, tmp_path / "ready").place == place
    os.utime(place / "model.safetensors")
    unchanged(config, tmp_path / "ready")
    (place / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(UserError, match="have changed since it was prepared") as caught:
        unchanged(config, tmp_path / "ready")
    assert f"remove {tmp_path / 'ready'} and start the run again" in str(caught.value)
    assert "\n" not in str(caught.value)
    # As the next run makes it.
    shutil.rmtree(tmp_path / "ready")
    prepare_model(config, tmp_path / "ready")
    unchanged(config, tmp_path / "ready")


def test_a_model_that_another_study_put_there_is_told(config: ModelConfig, place: Path, tmp_path: Path) -> None:
    prepare_model(config, tmp_path / "ready")
    with pytest.raises(UserError, match=rf"from folder {place}, .* asks for embedded smollm2-135m.*another `cache`"):
        unchanged(ModelConfig(), tmp_path / "ready")
    shutil.copytree(place, tmp_path / "copy")
    with pytest.raises(UserError, match="another study put it there"):
        unchanged(ModelConfig(source="folder", path=str(tmp_path / "copy")), tmp_path / "ready")
    shutil.rmtree(place)
    with pytest.raises(UserError, match=f"is gone from {place}"):
        unchanged(config, tmp_path / "ready")


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
    assert (card["folder"], card["revision"]) == (str(snapshot), COMMIT)
    assert card["source"] == f"hub org/name at {COMMIT}"


@pytest.mark.parametrize("text", ["401 Client Error.\nmany more lines", ""])
def test_a_hub_that_refuses_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    def refuse(*args: Any, **more: Any) -> str:
        raise ConnectionError(text)

    monkeypatch.setattr(prepare, "snapshot_download", refuse)
    with pytest.raises(UserError, match=f"org/name at revision {COMMIT}.*ConnectionError") as caught:
        prepare_model(HUB, tmp_path / "ready")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("card", [None, "", "[]", "{}", '{"folder": 3, "fingerprint": "f", "source": "s"}', "{"])
def test_a_folder_that_is_not_prepared_is_told(tmp_path: Path, card: str | None) -> None:
    if card is not None:
        (tmp_path / CARD).write_text(card)
    with pytest.raises(UserError, match="no prepared model: run 'baft prepare-model'"):
        read_card(tmp_path)
