from baft.benchmarks.known_files import KNOWN_FILES, known_file


def test_known_files_are_told_apart_by_their_hash() -> None:
    assert len({known.sha256 for known in KNOWN_FILES}) == len(KNOWN_FILES)
    assert all(len(known.sha256) == 64 for known in KNOWN_FILES)
    assert known_file(KNOWN_FILES[0].sha256) is KNOWN_FILES[0]
    assert known_file("0" * 64) is None
