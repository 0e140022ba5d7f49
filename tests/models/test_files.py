from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from baft.errors import UserError
from baft.models.files import CARD, HASHES, fingerprint, keep_hashes, model_files


def test_a_weight_changes_the_fingerprint(place: Path) -> None:
    before = fingerprint(place)
    assert len(before) == 16 and int(before, 16) >= 0
    weights = load_file(place / "model.safetensors")
    weights["model.layers.1.mlp.down_proj.weight"][3, 5] += 1e-3
    save_file(weights, place / "model.safetensors", {"format": "pt"})
    assert fingerprint(place) != before


@pytest.mark.parametrize(
    "name",
    [
        *("config.json", "generation_config.json", "theirs.bin"),
        *(
            "model-00001-of-00002.safetensors",
            "model.safetensors.index.json",
            "tokenizer.json",
            "merges.txt",
            "vocab.txt",
        ),
        *(
            "tokenizer.model",
            "spiece.model",
            "vocab.bpe",
            "qwen.tiktoken",
            "special_tokens_map.json",
            "modeling_own.py",
        ),
        *("chat_template.jinja", "chat_template.json", "additional_chat_templates/tools.jinja", "never heard of"),
    ],
)
def test_a_file_that_decides_changes_the_fingerprint(place: Path, name: str) -> None:
    (place / name).parent.mkdir(exist_ok=True)
    (place / name).write_text("one")
    one = fingerprint(place)
    (place / name).write_text("two")
    two = fingerprint(place)
    (place / name).unlink()
    assert len({one, two, fingerprint(place)}) == 3


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin"])
def test_pickled_weights_count_where_there_are_no_safetensors(place: Path, name: str) -> None:
    before = fingerprint(place)
    (place / name).write_text("one")
    assert fingerprint(place) == before
    (place / "model.safetensors").unlink()
    without = fingerprint(place)
    (place / name).write_text("two")
    assert len({before, without, fingerprint(place)}) == 3


@pytest.mark.parametrize("name", ["README.md", "LICENSE", ".gitattributes", "loss.png", CARD, HASHES, "runs/events"])
def test_a_file_that_no_loader_reads_does_not(place: Path, name: str) -> None:
    before = fingerprint(place)
    (place / name).parent.mkdir(exist_ok=True)
    (place / name).write_text("something")
    assert fingerprint(place) == before


def test_weights_in_a_folder_that_the_index_names_count(place: Path) -> None:
    (place / "shards").mkdir()
    (place / "shards" / "0.safetensors").write_text("one")
    (place / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "shards/0.safetensors"}}))
    assert "shards/0.safetensors" in model_files(place)
    for damaged in ("[]", "{", '{"weight_map": {"a": ["shards/0.safetensors"]}}'):
        (place / "model.safetensors.index.json").write_text(damaged)
        assert "shards/0.safetensors" not in model_files(place)


def test_only_what_has_changed_is_read_again(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = tmp_path / "ready"
    ready.mkdir()
    before = keep_hashes(place, ready)
    read: list[str] = []
    whole = Path.open

    def noted(path: Path, *args: object, **kwargs: object) -> object:
        if path.parent == place:
            read.append(path.name)
        return whole(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "open", noted)
    assert fingerprint(place, ready) == before and not read
    os.utime(place / "config.json", (1, 1))
    assert fingerprint(place, ready) == before and read == ["config.json"]
    keep_hashes(place, ready)
    read.clear()
    assert fingerprint(place, ready) == before and not read
    (ready / HASHES).write_text("[[")
    assert fingerprint(place, ready) == before and "model.safetensors" in read


def test_a_change_that_keeps_size_and_time_is_noticed(place: Path, tmp_path: Path) -> None:
    before, file = keep_hashes(place, tmp_path), place / "model.safetensors"
    found = file.stat()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (found.st_size, found.st_mtime_ns)
    assert fingerprint(place, tmp_path) != before


def test_a_change_right_after_the_hash_is_noticed(place: Path, tmp_path: Path) -> None:
    file = place / "merges.txt"
    for number in range(20):
        file.write_text(str(number % 10))
        before = keep_hashes(place, tmp_path)
        file.write_text(str((number + 1) % 10))
        assert fingerprint(place, tmp_path) != before


def test_an_older_file_put_in_the_place_is_noticed(place: Path, tmp_path: Path) -> None:
    shutil.copy2(place / "config.json", tmp_path / "older.json")
    (place / "config.json").write_text((place / "config.json").read_text().replace("0", "1"))
    before = keep_hashes(place, tmp_path)
    shutil.copy2(tmp_path / "older.json", place / "config.json")
    assert fingerprint(place, tmp_path) != before


def test_a_file_that_cannot_be_read_is_told(place: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads every file")
    (place / "tokenizer.json").chmod(0)
    with pytest.raises(UserError, match=r"cannot be read: .*tokenizer\.json"):
        fingerprint(place)
