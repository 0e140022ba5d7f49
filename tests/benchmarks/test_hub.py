import hashlib
import json
import logging

import huggingface_hub
import pytest

from baft.benchmarks.hub import load_hub
from baft.benchmarks.known_files import KNOWN_FILES, KnownFile, known_file
from baft.errors import UserError

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The hub's download replaced by a local file; gives the file's hash and the arguments asked with."""
    path = tmp_path / "cached"
    path.write_text(json.dumps([{"subject": "a", "prompt": "a is", "target_new": "b", "rephrase": "a:"}]))
    asked = []

    def download(repo_id, filename, *, repo_type, revision):
        asked.append((repo_id, filename, repo_type, revision))
        return str(path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return hashlib.sha256(path.read_bytes()).hexdigest(), asked


def test_the_file_is_asked_for_by_its_commit(hub, caplog):
    digest, asked = hub
    with caplog.at_level(logging.WARNING):
        benchmark = load_hub("owner/data", "folder/facts.json", REVISION)
    assert asked == [("owner/data", "folder/facts.json", "dataset", REVISION)]
    assert (benchmark.name, benchmark.revision) == ("facts", "new @ 01234567")
    assert digest in caplog.text


def test_a_pinned_hash_is_checked_and_silences_the_warning(hub, caplog):
    digest, _ = hub
    with caplog.at_level(logging.WARNING):
        assert load_hub("owner/data", "facts.json", REVISION, digest, name="own").name == "own"
    assert caplog.text == ""
    with pytest.raises(UserError, match=digest):
        load_hub("owner/data", "facts.json", REVISION, "0" * 64)


def test_a_known_file_needs_no_warning(hub, caplog, monkeypatch):
    digest, _ = hub
    known = KnownFile("facts", "second", "facts.json", digest)
    monkeypatch.setattr("baft.benchmarks.known_files.KNOWN_FILES", (known,))
    with caplog.at_level(logging.WARNING):
        assert load_hub("owner/data", "facts.json", REVISION).revision == "second"
    assert caplog.text == ""


@pytest.mark.parametrize("revision", ["main", "v1.0", "", REVISION[:12], REVISION.upper()])
def test_a_revision_that_can_move_is_refused(hub, revision):
    with pytest.raises(UserError, match="not pinned"):
        load_hub("owner/data", "facts.json", revision)
    assert hub[1] == []


def test_a_failed_download_is_told_in_one_sentence(monkeypatch):
    def download(*args, **kwargs):
        raise OSError("no network\nat all")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(UserError, match="no network at all") as caught:
        load_hub("owner/data", "facts.json", REVISION)
    assert "\n" not in str(caught.value)


def test_known_files_are_told_apart_by_their_hash():
    assert len({known.sha256 for known in KNOWN_FILES}) == len(KNOWN_FILES)
    assert all(len(known.sha256) == 64 for known in KNOWN_FILES)
    assert known_file(KNOWN_FILES[0].sha256) is KNOWN_FILES[0]
    assert known_file("0" * 64) is None
