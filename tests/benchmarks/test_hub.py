from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest

from baft.benchmarks.hub import download
from baft.errors import UserError

REVISION = "0123456789abcdef0123456789abcdef01234567"


def test_the_file_is_asked_for_by_its_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []

    def hub(repo_id: str, filename: str, *, repo_type: str, revision: str) -> str:
        asked.append((repo_id, filename, repo_type, revision))
        return str(tmp_path / "cached")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hub)
    assert download("owner/data", "folder/facts.json", REVISION) == tmp_path / "cached"
    assert asked == [("owner/data", "folder/facts.json", "dataset", REVISION)]


def test_a_failed_download_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def hub(*args: object, **kwargs: object) -> str:
        raise OSError("no network\nat all")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hub)
    with pytest.raises(UserError, match="no network at all") as caught:
        download("owner/data", "facts.json", REVISION)
    assert "\n" not in str(caught.value)
