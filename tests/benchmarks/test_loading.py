import hashlib
import json
from pathlib import Path

import pytest

from baft.benchmarks.loading import load
from baft.benchmarks.subjects import subject_in_prompt, without_subject
from baft.errors import UserError


@pytest.fixture
def written(tmp_path):
    def write(rows, name="file.json"):
        path = tmp_path / name
        path.write_text(rows if isinstance(rows, str) else json.dumps(rows), encoding="utf-8")
        return path

    return write


def row(**changes):
    return {"subject": "France", "prompt": "The capital of France is", "target": "Rome", **changes}


def test_what_cannot_be_used_is_rejected_by_id_and_reason(written):
    rows = [row(), row(id="empty", prompt=" "), row(id="none", target=None), "text", row(id=7, prompt=["list"])]
    benchmark = load(written(rows), "own")
    assert len(benchmark.records) == 1
    reasons = {rejected.id: rejected.reason for rejected in benchmark.rejected}
    assert reasons["none"] == "has no target"
    assert "prompt" in reasons["empty"] and "prompt" in reasons["7"]
    assert len(reasons) == 4


def test_ids_are_stable_and_unique(written):
    rows = [row(id="a"), row(id="a"), row(), row(), row(id="a-2")]
    benchmark = load(written(rows), "own")
    ids = [record.id for record in benchmark.records]
    assert ids[:2] == ["a", "a-2"]
    assert len(set(ids)) == 5
    assert ids == [record.id for record in load(written(rows), "own").records]
    assert any(remark.id == "a-2" and "earlier" in remark.text for remark in benchmark.remarks)


def test_an_id_depends_on_position_and_content_alone(written):
    first = load(written([row(), row(target="Bern")]), "own").records
    second = load(written([row(), row(target="Oslo")]), "own").records
    assert first[0].id == second[0].id
    assert first[1].id != second[1].id


def test_limit_counts_usable_records(written):
    rows = [row(target=""), row(id="1"), row(id="2"), row(id="3", target="")]
    benchmark = load(written(rows), "own", limit=2)
    assert [record.id for record in benchmark.records] == ["1", "2"]
    assert len(benchmark.rejected) == 1


def test_hash_is_kept_and_checked(written):
    path = written([row()])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load(path, "own", sha256=digest.upper()).sha256 == digest
    with pytest.raises(UserError, match="SHA-256"):
        load(path, "own", sha256="0" * 64)


def test_lone_surrogates_are_replaced_and_remarked(written):
    benchmark = load(written('[{"prompt": "a \\ud800 is", "target": "b"}]'), "own")
    assert benchmark.records[0].prompt == "a \ufffd is"
    assert "surrogate" in benchmark.remarks[0].text


def test_csv_and_lines_give_the_same_records(written):
    header = "subject,prompt,target,rephrase,rephrase_2,locality,locality_answer\n"
    line = 'France,The capital of France is,Rome,"France, its capital:",The French capital is,France is in,Europe\n'
    from_csv = load(written(header + line, "own.csv"), "own")
    expected = row(
        rephrase=["France, its capital:", "The French capital is"], locality="France is in", locality_answer="Europe"
    )
    from_lines = load(written(json.dumps(expected) + "\n\n", "own.jsonl"), "own")
    assert from_csv.records[0].probes == from_lines.records[0].probes
    assert [probe.kind for probe in from_csv.records[0].probes] == [
        "reliability",
        "generality",
        "generality",
        "locality",
    ]


def test_a_format_can_be_forced(written):
    rows = [{"prompt": "p", "target_new": "t", "target": "own"}]
    assert load(written(rows), "x").records[0].target == "t"
    assert load(written(rows), "x", format="plain").records[0].target == "own"
    with pytest.raises(UserError, match="knowedit-wiki"):
        load(written(rows), "x", format="nonsense")


@pytest.mark.parametrize(
    ("content", "name", "named"),
    [
        ('[{"prompt": "p", "target": "t"}, {"prompt": "q", ', "f.json", "1 whole records"),
        ("", "f.json", "JSON"),
        ("[]", "f.json", "no records"),
        ("3", "f.json", "list of records"),
        ('{"prompt": "p", "target": "t"}', "f.json", "list of records"),
        ('[{"a": 1}]', "f.json", "known forms"),
        ('[{"prompt": "p", "target": ""}]', "f.json", "has no target"),
        ("[" * 100_000, "f.json", "JSON|nested"),
        ('{"prompt": "p", "target": "t"}\n{"prompt"', "f.jsonl", "line 2"),
        ("prompt,target\na,b,c\n", "f.csv", "record 1"),
        ("prompt,prompt\na,b\n", "f.csv", "same name"),
        ('prompt,target\n"a,b\n', "f.csv", "CSV"),
    ],
)
def test_a_broken_file_is_told_in_one_sentence(written, content, name, named):
    path = written(content, name)
    with pytest.raises(UserError, match=named) as caught:
        load(path, "x")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_bytes_that_are_no_text_are_told(tmp_path):
    with pytest.raises(UserError, match=r"absent\.json"):
        load(tmp_path / "absent.json", "x")
    (tmp_path / "bytes.json").write_bytes(b'["\xff"]')
    with pytest.raises(UserError, match="UTF-8"):
        load(tmp_path / "bytes.json", "x")


@pytest.mark.parametrize("arguments", [{"split": "train"}, {"limit": 0}])
def test_wrong_arguments_are_told(written, arguments):
    with pytest.raises(UserError, match=str(next(iter(arguments.values())))):
        load(written([row()]), "x", **arguments)


def test_a_csv_field_may_be_long(written):
    assert len(load(written(f"prompt,target\n{'x' * 200_000},t\n", "f.csv"), "x").records[0].prompt) == 200_000


def test_records_whose_subject_is_not_in_the_prompt_are_kept_and_findable(written):
    records = load(written([row(), row(subject="Spain"), row(subject=None)]), "x").records
    assert [subject_in_prompt(record) for record in records] == [True, False, False]
    assert without_subject(records) == records[1:]


def test_a_full_sized_file_of_the_zsre_form_loads(written):
    probe = {"Relation_Specificity": [{"prompt": "q " * 100, "ground_truth": ["a"]}] * 4}
    rows = [
        {"subject": f"s{i}", "prompt": f"s{i}?", "target_new": "t", "rephrase_prompt": "r", "locality": probe}
        for i in range(1304)
    ]
    assert len(load(written(rows), "zsre").records) == 1304


DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
REAL = {
    "knowedit/wiki_counterfact_test_first200.json": ("knowedit-wiki", "new", 200),
    "knowedit/wiki_recent_test_first200.json": ("knowedit-wiki", "new", 200),
    "knowedit/wiki_counterfact_train.json": ("knowedit-wiki", "old", 1428),
    "knowedit/wiki_recent_train.json": ("knowedit-wiki", "old", 570),
    "knowedit/zsre_test_first400.json": ("knowedit-zsre", "400 records", 400),
    "knowedit/wikibio_train.json": ("knowedit-wikibio", "sole", 464),
    "knowedit/convsent_val.json": ("knowedit-convsent", "sole", 799),
    "knowedit/sanitation_train.json": ("knowedit-sanitation", "sole", 80),
    "counterfact/counterfact_flat_train_2000.json": ("counterfact-flat", "sole", 2000),
    "counterfact/counterfact_rome_format_first300.json": ("counterfact-rome", "sole", 300),
    "zsre/zsre_mend_first400.json": ("zsre-mend", "sole", 400),
}


@pytest.mark.parametrize("file", REAL)
def test_real_files(file):
    if not (DATA / file).exists():
        pytest.skip(f"the published file {file} is not here")
    benchmark = load(DATA / file, "real")
    assert (benchmark.format, benchmark.revision, len(benchmark.records)) == REAL[file]
    assert benchmark.rejected == ()
