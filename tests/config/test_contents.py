"""What is in a user's files counts, and nothing else of them."""

import os
from pathlib import Path

import pytest

from baft.config import Plan, parse_study
from baft.config.contents import contents_digest
from baft.errors import UserError


def test_the_content_counts_and_neither_name_nor_time(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("a")
    other.write_text("a")
    before = contents_digest([str(one)])
    os.utime(one, (1, 1))
    assert before == contents_digest([str(one)]) == contents_digest([str(other)])
    assert before != contents_digest([str(one), str(other)])
    one.write_text("b")
    assert before != contents_digest([str(one)])
    assert contents_digest([]) == ""


def test_a_file_that_is_gone_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gone cannot be read: No such file"):
        contents_digest([str(tmp_path / "gone")])


def test_a_plan_has_the_contents_of_local_files_alone(tmp_path: Path) -> None:
    (tmp_path / "facts.csv").write_text("prompt,target\na,b\n")
    (tmp_path / "text").mkdir()
    (tmp_path / "text/b.txt").write_text("b")
    (tmp_path / "text/a.txt").write_text("a")
    (tmp_path / "text/note.md").write_text("not read")
    config = {
        "data": str(tmp_path),
        "benchmarks": {"mine": {"source": "file", "path": "facts.csv"}, "mini_zsre": {}},
        "covariances": {"source": "file", "path": str(tmp_path / "text")},
    }
    made = Plan(parse_study(config))
    assert made.benchmarks.contents("mine") == contents_digest([str(tmp_path / "facts.csv")])
    assert made.benchmarks.contents("mini_zsre") == ""
    read = [str(tmp_path / "text/a.txt"), str(tmp_path / "text/b.txt")]
    assert made.study.covariances.files() == read and made.covariances.contents == contents_digest(read)
    assert Plan(parse_study({})).covariances.contents == ""
