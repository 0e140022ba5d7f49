from dataclasses import replace

from baft.benchmarks.known_files import KNOWN_FILES, PARTS, known_file, known_part


def test_known_files_are_told_apart_by_their_hash() -> None:
    hashes = [known.sha256 for known in KNOWN_FILES if known.sha256]
    assert len(set(hashes)) == len(hashes) and all(len(one) == 64 for one in hashes)
    assert known_file(KNOWN_FILES[0].sha256) is KNOWN_FILES[0]
    assert known_file("0" * 64) is None


def test_parts_are_told_apart_and_of_known_files() -> None:
    parts = [part for some in PARTS.values() for part in some]
    assert len({part.path for part in parts}) == len({part.sha256 for part in parts}) == len(parts)
    assert all(part.of in KNOWN_FILES for part in parts)
    assert all(known_part(part.sha256) is part for part in parts) and known_part("0" * 64) is None
    # The first records of two test files are for tuning, as those of train and validation files are.
    assert [part.path for part in parts if part.split == "tune" and "_test_" in part.path] == [
        "knowedit/wiki_recent_test_first200.json",
        "knowedit/wiki_counterfact_test_first200.json",
    ]


def test_a_server_is_no_hub() -> None:
    assert KNOWN_FILES[0].is_on_the_hub
    assert not replace(KNOWN_FILES[0], place="https://example.org/data").is_on_the_hub
