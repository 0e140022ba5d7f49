"""Making a model ready: converted or downloaded once, its fingerprint taken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download

from baft.config import ModelConfig
from baft.errors import UserError, first_line
from baft.files import filling, write_text
from baft.models.embedded import read_embedded
from baft.models.files import CARD, HASHES, fingerprint, keep_hashes

_WANTED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.tiktoken", "*.bpe", "*.py"]


def prepare_model(config: ModelConfig, folder: Path) -> None:
    """Fills ``folder`` with a model, or with a card that points to where the hub's cache or the user keeps it.

    What was prepared there before is removed. Raises UserError if the model cannot be found, if ``folder`` holds
    something else, or if the disk is full.
    """
    _empty(folder)
    with filling(folder):
        place, about = _fetch(config, folder)
        own = "." if place == folder else str(place.absolute())
        card = {"folder": own, "fingerprint": keep_hashes(place, folder), **about}
        write_text(folder / CARD, json.dumps(card, indent=2) + "\n")


@dataclass(frozen=True)
class Prepared:
    """Where the files of a prepared model lie, their fingerprint, and of the hub's the commit they are of."""

    place: Path
    fingerprint: str
    commit: str = ""


def unchanged(config: ModelConfig, folder: Path) -> Prepared:
    """The model that was prepared in ``folder``, which is the config's and as it was then.

    Raises UserError if the folder was prepared for another model, or if a file of the model has changed since.
    """
    card = read_card(folder)
    if card["source"] != (wanted := source_of(config)):
        raise UserError(
            f"{folder} holds a model from {card['source']}, and the config asks for {wanted}: another study put it there "
            "under this label; give the model another label or the study another `cache`, or remove that folder."
        )
    place = folder / card["folder"]
    if not place.is_dir():
        raise UserError(
            f"The model prepared in {folder} is gone from {place}: remove {folder} and start the run again."
        )
    if (now := fingerprint(place, folder)) != card["fingerprint"]:
        raise UserError(
            f"The files of the model in {place} have changed since it was prepared (fingerprint {now}, not "
            f"{card['fingerprint']}): put them back, or remove {folder} and start the run again, which then measures the "
            "changed model anew."
        )
    return Prepared(place, now, card.get("revision", ""))


def source_of(config: ModelConfig) -> str:
    """Where a model comes from, in words that differ for different models."""
    if config.source == "embedded":
        return f"embedded {config.name}"
    if config.source == "hub":
        return f"hub {config.hub_id} at {config.revision}"
    return f"folder {Path(config.path or '').absolute()}"


def _empty(folder: Path) -> None:
    """Makes ``folder`` an empty one that is marked as ours. Raises UserError rather than to remove what is not."""
    own = folder.is_dir() and any((folder / name).is_file() for name in (CARD, HASHES))
    if folder.exists() and not own and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(
            f"{folder} is there and holds something that was not made by 'baft prepare-model', which would remove it: name "
            "a new or empty folder, or remove this one yourself."
        )
    if own:
        shutil.rmtree(folder.resolve())
    # A link's target, not the link.
    folder.resolve().mkdir(parents=True, exist_ok=True)
    write_text(folder / HASHES, "{}\n")


def _fetch(config: ModelConfig, folder: Path) -> tuple[Path, Mapping[str, str]]:
    if config.source == "embedded":
        model, tokenizer = read_embedded(config.name)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder, {"source": source_of(config)}
    if config.source == "hub":
        assert config.hub_id is not None
        try:
            place = Path(snapshot_download(config.hub_id, revision=config.revision, allow_patterns=_WANTED))
        except Exception as error:
            raise UserError(
                f"The model {config.hub_id} at revision {config.revision} cannot be had from the hub: "
                f"{first_line(error)} (log in with 'hf auth login' if it is gated, or "
                "give source: folder and path)."
            ) from error
        return place, {"source": source_of(config), "revision": place.name}
    place = Path(config.path or "")
    if not (place / "config.json").is_file():
        raise UserError(f"path: {place} holds no model (there is no config.json in it).")
    return place, {"source": source_of(config)}


def read_card(folder: Path) -> dict[str, str]:
    """What :func:`prepare_model` wrote about a model: folder, fingerprint, source; of the hub's the commit, ``revision``."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        if not all(isinstance(card[key], str) for key in ("folder", "fingerprint", "source")):
            raise TypeError
        return dict(card)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{folder} is no prepared model: run 'baft prepare-model' to make it.") from error
