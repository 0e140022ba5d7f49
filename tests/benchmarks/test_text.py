import pytest

from baft.benchmarks.embedded import EMBEDDED, build
from baft.benchmarks.text import load_passages
from baft.errors import UserError


def test_the_shipped_text_is_long_and_does_not_repeat_itself():
    passages = load_passages()
    assert sum(len(passage.split()) for passage in passages) >= 6000
    assert len(set(passages)) == len(passages)
    assert all(len(passage.split()) >= 30 for passage in passages)


def test_the_shipped_text_holds_no_edit():
    text = " ".join(load_passages())
    for name in EMBEDDED:
        for record in build(name).records:
            assert record.prompt not in text
            assert name == "mini_convsent" or len(record.target) < 12 or record.target not in text


def test_headings_and_line_breaks_are_left_out(tmp_path):
    (tmp_path / "t.txt").write_text("Heading\n\nOne\ntwo.\n\n\nThree.\n", encoding="utf-8")
    assert load_passages(tmp_path / "t.txt") == ("One two.", "Three.")


def test_what_is_no_text_is_told(tmp_path):
    (tmp_path / "t.txt").write_text("Heading", encoding="utf-8")
    (tmp_path / "b.txt").write_bytes(b"\xff.")
    for name, named in (("t.txt", "no paragraph"), ("b.txt", "UTF-8"), ("absent.txt", "absent")):
        with pytest.raises(UserError, match=named):
            load_passages(tmp_path / name)
