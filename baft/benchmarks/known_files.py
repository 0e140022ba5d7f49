"""Published benchmark files and the parts of them that the shipped studies use, known by their content.

What is not known for certain is empty here and called unknown by the documentation: no hub commit is recorded, since the
SHA-256 pins a file's content whatever commit it is taken from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

KNOWEDIT = "zjunlp/KnowEdit"


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A published file: the benchmark, split and revision it is, and where it is public.

    ``place`` is the id of a data set of the Hugging Face hub or the address of a folder, and ``path`` the file in it.
    ``sha256`` and ``licence`` are empty where they are unknown. The first ``tune`` records of a test file are tune data of
    this project.
    """

    benchmark: str
    revision: str
    path: str
    sha256: str = ""
    place: str = KNOWEDIT
    licence: str = "MIT"
    tune: int = 0

    @property
    def is_on_the_hub(self) -> bool:
        """Whether ``place`` is a data set of the hub."""
        return "://" not in self.place


COUNTERFACT_TEST = KnownFile(
    "wiki_counterfact",
    "new",
    "benchmark/wiki_counterfact/test_cf.json",
    "efc01ba398dfe04975939f729aab45523addb3c6b3cf41d7429ba5de1d45225b",
    tune=200,
)
RECENT_TEST = KnownFile(
    "wiki_recent",
    "new",
    "benchmark/wiki_recent/recent_test.json",
    "e5c4ce6de1e8e2d10d892164ad6f4cbd28c976ed509e29e78ae853b01de1797b",
    tune=200,
)
ZSRE_TEST = KnownFile(
    "ZsRE",
    "1304 records",
    "benchmark/ZsRE/ZsRE-test-all.json",
    "d70ff1f69ddcac101bbe9c6f1d6ee3918bdac96f145d937e90fbbb02fcf85fab",
)
WIKIBIO_TEST = KnownFile(
    "WikiBio",
    "test",
    "benchmark/WikiBio/wikibio-test-all.json",
    "00933f69b47d8281d01f1f4b84f3f266b7482a65a7d74022e660a8a9ca2264a4",
)
CONVSENT_TEST = KnownFile(
    "ConvSent",
    "test",
    "benchmark/convsent/blender_test.json",
    "bfdab01a2655f5b136e593bc0d1d440cea963a1883510da7b31178855db00804",
)
COUNTERFACT_TRAIN = KnownFile("wiki_counterfact", "train", "benchmark/wiki_counterfact/train_cf.json")
RECENT_TRAIN = KnownFile("wiki_recent", "train", "benchmark/wiki_recent/recent_train.json")
WIKIBIO_TRAIN = KnownFile(
    "WikiBio",
    "train",
    "benchmark/WikiBio/wikibio-train-all.json",
    "6ee88049c1c6c00d6f81d2d942350b6ec78b45917d2ec8a3eec3eafa89c2e209",
)
CONVSENT_VALIDATION = KnownFile("ConvSent", "validation", "benchmark/convsent/blender_val.json")
MEND_TRAIN = KnownFile(
    "ZsRE",
    "train, MEND's form",
    "zsre_mend_train.json",
    "4f3ac245e9c0baaf633f9e6cb765ffa8e83d594a74520a6cc3539497328c0722",
    place="https://rome.baulab.info/data/dsets",
    licence="",
)

KNOWN_FILES: tuple[KnownFile, ...] = (
    COUNTERFACT_TEST,
    KnownFile(
        "wiki_counterfact",
        "old",
        "benchmark/wiki_counterfact/test_cf.json",
        "8773ca68b7e13ce4f0a45ef8a425ccf3eead3a227636de37b1caad01aff65df9",
    ),
    RECENT_TEST,
    KnownFile(
        "wiki_recent",
        "old",
        "benchmark/wiki_recent/recent_test.json",
        "64eb6e0d97c52b8ac2d99cf6c914149ebd1bf607fcb5d4fcd9bd7031f1d6158d",
    ),
    ZSRE_TEST,
    KnownFile(
        "ZsRE",
        "1301 records",
        "benchmark/ZsRE/ZsRE-test-all.json",
        "0e0214dda853a906ef02bef58c7ce2978af5a962e91fc4a10827e0125459905c",
    ),
    WIKIBIO_TEST,
    CONVSENT_TEST,
    COUNTERFACT_TRAIN,
    RECENT_TRAIN,
    WIKIBIO_TRAIN,
    CONVSENT_VALIDATION,
    MEND_TRAIN,
)


@dataclass(frozen=True, slots=True)
class Part:
    """Records of a published file that a shipped study reads, in a file of their own.

    ``path`` is that file, from the folder of the data. The records follow one another in the published file, ``count`` of
    them from the one whose canonical JSON has the SHA-256 ``first`` (16 hex digits). Written as JSON with this ``indent``,
    they have the hash ``sha256``. The shipped studies choose settings on the parts whose ``split`` is tune, and take their
    final numbers from those of test.
    """

    path: str
    of: KnownFile
    count: int
    first: str
    sha256: str
    indent: int = 0
    split: Literal["tune", "test"] = "tune"


PARTS = {
    "knowedit": (
        Part(
            "knowedit/wiki_recent_train.json",
            RECENT_TRAIN,
            570,
            "837bbd1efa367e7c",
            "f786ce3b6eda2b647089056f9949bb2b19a41efab658a6451913847192a867cc",
        ),
        Part(
            "knowedit/wiki_counterfact_train.json",
            COUNTERFACT_TRAIN,
            1428,
            "d15f4ca627016530",
            "793a87472247d7a343e7ef637cb81c99b6da52ac384b18ad1b16f0dfd1878c1b",
        ),
        Part(
            "zsre/zsre_mend_train_1k.json",
            MEND_TRAIN,
            1000,
            "bcedeaedff93c637",
            "6f154926a6d76b66f666a6537ff911586e3c27555ae8f5bba3dfbcaf2b7569ab",
        ),
        Part(
            "knowedit/wikibio_train.json",
            WIKIBIO_TRAIN,
            464,
            "8ff635b8dd52195b",
            "0ce55282d2ecadf7602981ebb673a08edd4c382fe9d32545668b5473c3694667",
        ),
        Part(
            "knowedit/convsent_val.json",
            CONVSENT_VALIDATION,
            799,
            "61334325a68c522d",
            "dcb1286649662b6dce76163b76531bec24a32fa4a036b8a85a6c44fe68f7509d",
        ),
    ),
    "knowedit-test": (
        Part(
            "knowedit/wiki_recent_test_first200.json",
            RECENT_TEST,
            200,
            "af153ca5fd58b09f",
            "0e34bf4835023ae0d01d97ed6de25462572e8e7746239f02a51e60be185c84e1",
        ),
        Part(
            "knowedit/wiki_recent_test_200to400.json",
            RECENT_TEST,
            200,
            "b6b9d1f86cf109a1",
            "108d4469c30abad10209462c9875ef27c94b7d4eed2bf929939b2944d3984873",
            indent=1,
            split="test",
        ),
        Part(
            "knowedit/wiki_counterfact_test_first200.json",
            COUNTERFACT_TEST,
            200,
            "2f2fab1c66317ff5",
            "4aac7c0ec944e5034c090852e4a0b5d2cec39873c8445fcc7882f0387ebbfca9",
        ),
        Part(
            "knowedit/wiki_counterfact_test_200to400.json",
            COUNTERFACT_TEST,
            200,
            "ef5d732dd842cc7d",
            "b0ce86f41fa32f806e9f520d2120450e3586b1dd2ea9e92bb314b8108d7e3d27",
            indent=1,
            split="test",
        ),
        Part(
            "knowedit/zsre_test_first400.json",
            ZSRE_TEST,
            400,
            "ef06274f2687a011",
            "2c5a9d6d53be8a66d8767ada2f8808f1a7fb25afef2d27c33f03fe4d2cc10a06",
            split="test",
        ),
        Part(
            "knowedit/wikibio_test_first100.json",
            WIKIBIO_TEST,
            100,
            "dcd647c56d8829a1",
            "e0a87362052ce44040ae9cf4fe0f8c1828b5d0bebcda446099f429e8ae8f2815",
            split="test",
        ),
        Part(
            "knowedit/convsent_test_first200.json",
            CONVSENT_TEST,
            200,
            "5381709623fa39a1",
            "9ce7ac4665d406ffca513a4ca5db28cfa2a192683750688927ed3df6fd6a1c06",
            split="test",
        ),
    ),
}
"""By the name that `baft benchmarks fetch` takes, what it makes: what config/knowedit.yaml reads, and parts of KnowEdit's
newest test files. Of those of wiki_recent and wiki_counterfact the first 200 records are not for final numbers."""


def known_file(sha256: str) -> KnownFile | None:
    """The published file with this hash, if it is one."""
    return next((known for known in KNOWN_FILES if known.sha256 == sha256), None)


def known_part(sha256: str) -> Part | None:
    """The file of a shipped study with this hash, if it is one."""
    return next((part for parts in PARTS.values() for part in parts if part.sha256 == sha256), None)
