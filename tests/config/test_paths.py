"""Folders of a config: each form works, or gets one sentence."""

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baft.config import Plan, parse_study
from baft.config.layout import Layout, at
from baft.errors import UserError

PATTERNS = ("model", "covariances", "benchmark", "loading", "base", "probes", "edits", "checkpoints", "record", "bases")
VALUES = dict.fromkeys(("model", "method", "protocol", "benchmark", "seed", "shard", "layer"), "0")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("./res", "res"),
        ("res/", "res"),
        ("res//deep/./x/", "res/deep/x"),
        ("a/../b", "b"),
        ("../b/", "../b"),
        ("~/res", "/home/ada/res"),
        ("/tmp/res/", "/tmp/res"),
        ("//tmp/res", "/tmp/res"),
        ("with space", "with space"),
        ('it\'s "so" & #1; 5%', 'it\'s "so" & #1; 5%'),
        ("é/結果", "é/結果"),
        ("a=b,c", "a=b,c"),
    ],
)
@pytest.mark.parametrize("key", ["results", "cache"])
def test_a_folder_is_the_same_however_it_is_written(
    key: str, written: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    study = parse_study({key: written})
    assert getattr(study, key) == meant
    layout = Plan(study).layout
    for name in PATTERNS:
        pattern = getattr(layout, name)
        # What a rule's pattern becomes for its wildcards is, letter for letter, what is asked for.
        assert pattern.format(**VALUES) == str(at(pattern, **VALUES))


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("", ["empty"]),
        ("  ", ["empty"]),
        (".", ["a folder of its own"]),
        ("x/..", ["a folder of its own"]),
        ("..", ["a folder of its own"]),
        ("/", ["a folder of its own"]),
        ("$HOME/res", ["without the character '$'"]),
        ("res{seed}", ["without the character '{'"]),
        ("res*", ["without the character '*'"]),
        ("re[s]", ["without the character '['"]),
        ("res\n", ["without the character '\\n'"]),
        ("s3://bucket/res", ["not an address"]),
        ("res ", ["begin or end with a space"]),
        ("-res", ["begin with '-'"]),
        (3, ["results is 3", "a text"]),
    ],
)
def test_a_folder_that_cannot_work_is_one_sentence(written: object, parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        parse_study({"results": written})
    for part in ("results", *parts):
        assert part in str(caught.value)


def test_back_through_a_link_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep/target").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep/target")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UserError, match="goes back through a symbolic link"):
        parse_study({"results": "../link/../res"})
    assert parse_study({"results": "../link/res"}).results == "../link/res"


def test_the_home_folder_is_known_in_paths_that_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    study = parse_study(
        {
            "data": "~/data",
            "models": {"m": {"source": "folder", "path": "~/model"}},
            "benchmarks": {"b": {"source": "file", "path": "~/b.jsonl"}, "c": {"source": "file", "path": "c.jsonl"}},
            "covariances": {"source": "file", "path": "~/text"},
        }
    )
    assert study.models["m"].path == f"{tmp_path}/model" and study.covariances.path == f"{tmp_path}/text"
    assert Plan(study).benchmarks.files("b") == [f"{tmp_path}/b.jsonl"]
    assert Plan(study).benchmarks.files("c") == [f"{tmp_path}/data/c.jsonl"]
    with pytest.raises(UserError, match=r"benchmarks\.b\.path: it is empty"):
        parse_study({"benchmarks": {"b": {"source": "file", "path": " "}}})


LABELS = st.text(alphabet=string.ascii_letters[:4] + "_.-@,0", min_size=1, max_size=4)


@given(st.lists(LABELS, min_size=2, max_size=2), st.lists(LABELS, min_size=2, max_size=2))
def test_no_two_jobs_share_a_log_or_timing(one: list[str], other: list[str]) -> None:
    layout = Layout("results", "cache")
    for pattern in (layout.log("rule", "model", "method"), layout.timing("rule", "model", "method")):
        paths = [at(pattern, model=model, method=method) for model, method in (one, other)]
        assert (paths[0] == paths[1]) == (one == other)
