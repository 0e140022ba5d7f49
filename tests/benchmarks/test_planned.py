from pathlib import Path

import pytest

from baft.benchmarks.embedded import build
from baft.benchmarks.planned import check_files
from baft.config import parse_study
from baft.errors import UserError


def study(folder: Path, **keys):
    return parse_study({"data": str(folder), "benchmarks": {"mine": {"source": "file", "path": "facts.csv", **keys}}})


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("statement,new_value\na,b\n", ["none of the known forms", "'new_value', 'statement'", "prompt and target"]),
        ("prompt,target\na,\n", ["no record can be used", "has no target", "'prompt', 'target'"]),
        ("prompt,target\na,b,c\n", ["3 fields where the header has 2"]),
        ("", ["holds no records"]),
    ],
)
def test_a_wrong_file_is_told_with_its_key_and_columns(content: str, parts: list[str], tmp_path: Path) -> None:
    (tmp_path / "facts.csv").write_text(content)
    with pytest.raises(UserError) as caught:
        check_files(study(tmp_path))
    message = str(caught.value)
    assert message.startswith("benchmarks.mine: ") and "\n" not in message
    assert all(part in message for part in parts), message


def test_another_file_than_the_pinned_one_is_told(tmp_path: Path) -> None:
    (tmp_path / "facts.csv").write_text("prompt,target\na,b\n")
    with pytest.raises(UserError, match=r"benchmarks\.mine: .*SHA-256"):
        check_files(study(tmp_path, sha256="0" * 64))


def test_a_good_file_passes_and_other_sources_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "facts.csv").write_text("prompt,target\na,b\n")
    check_files(study(tmp_path))
    check_files(parse_study({"benchmarks": {"mini_zsre": {}}}))


def test_a_record_to_keep_that_no_benchmark_has_is_told(tmp_path: Path) -> None:
    (tmp_path / "facts.csv").write_text("id,prompt,target\none,a,b\n")
    mine = {"mine": {"source": "file", "path": "facts.csv"}, "mini_zsre": {"limit": 1}}
    (zsre,) = build("mini_zsre", "tune", 1).records

    def kept(*ids: str, **benchmarks: dict[str, str]) -> None:
        both = {"data": str(tmp_path), "benchmarks": mine | benchmarks, "keep_edits": list(ids)}
        check_files(parse_study(both))

    kept("one", zsre.id)
    with pytest.raises(UserError, match=r"keep_edits: no record has the id 'other'; there are 2 in the study, such as"):
        kept("one", "other")
    kept("other", far={"source": "hub", "hub_id": "someone/something", "revision": "0" * 40, "filename": "a.json"})


def test_a_record_to_draw_that_is_not_analysed_is_told(tmp_path: Path) -> None:
    (tmp_path / "facts.csv").write_text("id,prompt,target\none,a,b\ntwo,c,d\n")
    benchmarks: dict[str, object] = {"mine": {"source": "file", "path": "facts.csv"}, "mini_zsre": {}}
    (zsre,) = build("mini_zsre", "tune", 1).records

    def drawn(picture: str, **more: object) -> None:
        analysis = {"picture": picture, "records": 1} | more
        check_files(parse_study({"data": str(tmp_path), "benchmarks": benchmarks, "analysis": analysis}))

    drawn("one")
    drawn(zsre.id)
    drawn("two", records=2)
    drawn("other", records=0)
    for absent, chosen in (("two", {}), ("other", {}), (zsre.id, {"benchmarks": ["mine"]})):
        with pytest.raises(UserError, match=rf"analysis\.picture is '{absent}', but none of .* one has 'one'"):
            drawn(absent, **chosen)


def test_nothing_is_tuned_on_records_without_rephrasings(tmp_path: Path) -> None:
    (tmp_path / "bare.csv").write_text("prompt,target\nThe capital of France is,Rome\n")
    (tmp_path / "full.csv").write_text("prompt,target,rephrase\nThe capital of France is,Rome,France's capital is\n")
    config = {
        "data": str(tmp_path),
        "methods": ["reft"],
        "benchmarks": {
            "full": {"source": "file", "path": "full.csv"},
            "bare": {"source": "file", "path": "bare.csv"},
            "mini_zsre": None,
        },
    }
    check_files(parse_study(config))
    check_files(parse_study(config | {"tuning": {"trials": 1, "benchmarks": ["full", "mini_zsre"]}}))
    with pytest.raises(UserError, match=r"tuning\.benchmarks has 'bare', whose records have no rephrasings"):
        check_files(parse_study(config | {"tuning": {"trials": 1}}))
