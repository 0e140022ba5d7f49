"""Making a model ready: converted or downloaded once, its fingerprint taken."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import snapshot_download

from baft.config import ModelConfig
from baft.errors import UserError
from baft.files import filling, write_text
from baft.models.embedded import read_embedded

CARD = "baft_model.json"
"""Written last, so that a folder without it is not a prepared model."""

_WANTED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py"]


def prepare_model(config: ModelConfig, folder: Path) -> None:
    """Fills ``folder`` with a model, or with a card that points to where the hub's cache or the user keeps it.

    Raises UserError if the model cannot be found, or if the disk is full.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with filling(folder):
        folder.mkdir(parents=True)
        place, about = _fetch(config, folder)
        card = {"folder": "." if place == folder else str(place.absolute()), "fingerprint": fingerprint(place), **about}
        write_text(folder / CARD, json.dumps(card, indent=2) + "\n")


def _fetch(config: ModelConfig, folder: Path) -> tuple[Path, Mapping[str, str]]:
    if config.source == "embedded":
        model, tokenizer = read_embedded(config.name)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder, {"source": f"embedded {config.name}"}
    if config.source == "hub":
        assert config.hub_id is not None
        try:
            place = Path(snapshot_download(config.hub_id, revision=config.revision, allow_patterns=_WANTED))
        except Exception as error:
            raise UserError(
                f"The model {config.hub_id} at revision {config.revision} cannot be had from the hub: "
                f"{type(error).__name__}: {first_line(error)} (log in with 'hf auth login' if it is gated, or "
                "give source: folder and path)."
            ) from error
        return place, {"source": f"hub {config.hub_id}", "revision": place.name}
    place = Path(config.path or "")
    if not (place / "config.json").is_file():
        raise UserError(f"path: {place} holds no model (there is no config.json in it).")
    return place, {"source": f"folder {place.absolute()}"}


def fingerprint(folder: Path) -> str:
    """SHA-256, first 16 hex digits, over a model's config, weights and tokenizer files by name and content."""
    digest = hashlib.sha256()
    for path in sorted(
        p for p in folder.iterdir() if p.suffix in {".json", ".safetensors", ".model"} and p.name != CARD
    ):
        with path.open("rb") as file:
            digest.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\0".encode())
    return digest.hexdigest()[:16]


def first_line(error: Exception) -> str:
    """What a library says in the first line of its error, or the error's kind if it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def read_card(folder: Path) -> dict[str, str]:
    """What :func:`prepare_model` wrote about a model: folder, fingerprint, source."""
    try:
        return dict(json.loads((folder / CARD).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} is no prepared model: run 'baft prepare-model' to make it.") from error
