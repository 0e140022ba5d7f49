"""SHA-256 of published benchmark files, so that a file is known by its content and not by its name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A published file: the benchmark and the revision it is, and its path in the hub data set ``zjunlp/KnowEdit``."""

    benchmark: str
    revision: str
    path: str
    sha256: str


KNOWN_FILES: tuple[KnownFile, ...] = (
    KnownFile(
        "wiki_counterfact",
        "new",
        "benchmark/wiki_counterfact/test_cf.json",
        "efc01ba398dfe04975939f729aab45523addb3c6b3cf41d7429ba5de1d45225b",
    ),
    KnownFile(
        "wiki_counterfact",
        "old",
        "benchmark/wiki_counterfact/test_cf.json",
        "8773ca68b7e13ce4f0a45ef8a425ccf3eead3a227636de37b1caad01aff65df9",
    ),
    KnownFile(
        "wiki_recent",
        "new",
        "benchmark/wiki_recent/recent_test.json",
        "e5c4ce6de1e8e2d10d892164ad6f4cbd28c976ed509e29e78ae853b01de1797b",
    ),
    KnownFile(
        "wiki_recent",
        "old",
        "benchmark/wiki_recent/recent_test.json",
        "64eb6e0d97c52b8ac2d99cf6c914149ebd1bf607fcb5d4fcd9bd7031f1d6158d",
    ),
    KnownFile(
        "ZsRE",
        "1304 records",
        "benchmark/ZsRE/ZsRE-test-all.json",
        "d70ff1f69ddcac101bbe9c6f1d6ee3918bdac96f145d937e90fbbb02fcf85fab",
    ),
    KnownFile(
        "WikiBio",
        "test",
        "benchmark/WikiBio/wikibio-test-all.json",
        "00933f69b47d8281d01f1f4b84f3f266b7482a65a7d74022e660a8a9ca2264a4",
    ),
    KnownFile(
        "ConvSent",
        "test",
        "benchmark/convsent/blender_test.json",
        "bfdab01a2655f5b136e593bc0d1d440cea963a1883510da7b31178855db00804",
    ),
)


def known_file(sha256: str) -> KnownFile | None:
    """The published file with this hash, if it is one."""
    return next((known for known in KNOWN_FILES if known.sha256 == sha256), None)
