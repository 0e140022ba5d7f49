import bz2
import gzip
import hashlib
import json
import lzma

import pytest

from baft.benchmarks.known_files import KnownFile, Part
from baft.benchmarks.load import load
from baft.benchmarks.subjects import subject_in_prompt, without_subject
from baft.errors import UserError
from tests.benchmarks.real import DATA, load_real


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
        ('"text"', "f.json", "list of records"),
        ('[{"prompt": "p", "prompt": "q", "target": "t"}]', "f.json", "'prompt' twice.*line 1"),
        ('[{"promt": "p", "target": "t"}]', "f.json", "rename 'promt' to 'prompt'"),
        ("prompt;target\na;b;c\n", "f.csv", "line 2.*semicolons"),
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
    benchmark = load_real(DATA / file)
    assert (benchmark.format, benchmark.revision, len(benchmark.records)) == REAL[file]
    assert benchmark.rejected == ()


TWO = [row(id="a"), row(id="b", prompt="The capital of Spain is", subject="Spain")]


@pytest.mark.parametrize("name", ["f.json", "f.jsonl", "f.txt"])
@pytest.mark.parametrize(
    "text",
    [
        json.dumps(TWO),
        json.dumps(TWO, indent=2),
        "\n".join(map(json.dumps, TWO)),
        "\r\n".join(map(json.dumps, TWO)) + "\r\n",
        "\r".join(map(json.dumps, TWO)),
        "\n".join(json.dumps(one, indent=2) for one in TWO),
        json.dumps({key: [one[key] for one in TWO] for key in TWO[0]}),
        json.dumps({key: {str(n): one[key] for n, one in enumerate(TWO)} for key in TWO[0]}),
        json.dumps({"train": TWO[:1], "test": TWO[1:]}),
    ],
    ids=["array", "pretty", "lines", "crlf", "cr", "several", "columns", "pandas", "splits"],
)
def test_json_in_any_layout_is_the_same(written, text, name):
    assert load(written(text, name), "x").records == load(written(TWO, "plain.json"), "x").records


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["f.csv", "f.tsv", "f.txt"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_csv_with_any_delimiter_is_the_same(written, delimiter, name, newline):
    lines = [TWO[0].keys(), *(one.values() for one in TWO)]
    text = newline.join(delimiter.join(map(str, line)) for line in lines) + newline
    assert load(written(text, name), "x").records == load(written(TWO, "plain.json"), "x").records


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("name", ["f.json", "f.csv.gz"])
def test_encodings_and_compression_are_undone(tmp_path, encoding, pack, name):
    text = json.dumps(TWO) if name == "f.json" else "id,subject,prompt,target\nü,France,The capital of France is,Rome\n"
    path = tmp_path / name
    path.write_bytes(pack(text.encode(encoding)))
    assert load(path, "x").records[0].prompt == "The capital of France is"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (gzip.compress(b"[]", mtime=0)[:-6], "compressed and broken"),
        (b"PK\x03\x04", "zip"),
        (b"PAR1", "parquet"),
        (b"a\n\xff", "line 2"),
    ],
)  # fmt: skip
def test_files_of_other_kinds_are_told(tmp_path, content, told):
    (tmp_path / "f.json").write_bytes(content)
    with pytest.raises(UserError, match=told):
        load(tmp_path / "f.json", "x")


def test_numbers_keep_the_text_that_the_file_has(written):
    literals = ["5", "5.0", "1.50", "1e3", "-0", "0.1", "12345678901234567890", "1997"]
    text = "\n".join(f'{{"prompt": "p {n}", "target": {literal}}}' for n, literal in enumerate(literals))
    assert [record.target for record in load(written(text, "f.jsonl"), "x").records] == literals


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("true", "true, which is no text"),
        ("NaN", "has no target"),
        ("null", "has no target"),
        ('{"a": "b"}', "it is an object"),
    ],
)
def test_what_is_no_text_is_told_by_its_line(written, target, reason):
    benchmark = load(written(f'{json.dumps(row())}\n{{"prompt": "p", "target": {target}}}', "f.jsonl"), "x")
    (rejected,) = benchmark.rejected
    assert reason in rejected.reason and rejected.line == 2


def test_a_field_that_nothing_reads_is_listed_with_what_it_might_have_been(written):
    rows = [row(), row(rephrse="x", colour="red"), row(rephrse="y", deep={"a": 1}, empty="")]
    notes = load(written("\n".join(map(json.dumps, rows)), "f.jsonl"), "x").notes
    assert notes[0] == "the field 'rephrse' is not read (2 records, first in line 2); did you mean 'rephrase'?"
    assert notes[1:] == (
        "the field 'colour' is not read (1 record, first in line 2)",
        "the field 'deep' is not read (1 record, first in line 3)",
    )


def test_a_known_field_in_another_spelling_is_read(written):
    benchmark = load(written("Prompt,Target,Paraphrase\np,t,q\n", "f.csv"), "x")
    assert [probe.prompt for probe in benchmark.records[0].probes] == ["p", "q"]
    assert "the field 'Prompt' is read as 'prompt'" in benchmark.notes


def test_headings_of_numbered_columns_and_answers_may_have_capitals_and_spaces(written):
    headings = (
        "ID,Prompt,Target,Subject,Aliases 2,Rephrase,Rephrase 2,Locality,Locality Answer,Locality-2,Locality 2 Answer"
    )
    values = (
        "one,The capital of France is,Rome,France,Roma,r,s,The capital of Spain is,Madrid,The capital of Peru is,Lima"
    )
    spelled = load(written(f"{headings},Unheard Of\n{values},lost\n", "spelled.csv"), "x")
    plain = headings.lower().replace(" ", "_").replace("-", "_")
    assert spelled.records == load(written(f"{plain}\n{values}\n", "plain.csv"), "x").records
    (record,) = spelled.records
    assert record.id == "one" and record.probes[0].answers == ("Rome", "Roma")
    assert [probe.kind for probe in record.probes] == ["reliability", *["generality"] * 2, *["locality"] * 2]
    # The terminal shows the first notes.
    assert spelled.notes[0] == "the field 'Unheard Of' is not read (1 record, first in line 2)"
    assert all("is read as" in note for note in spelled.notes[1:])


@pytest.mark.parametrize(
    "form",
    [
        {"target": "Rome"},
        {"target_new": "Rome"},
        {"target_new": "Rome", "cond": "x"},
        {"target_new": "Rome", "locality_prompt": "q", "locality_ground_truth": "a"},
    ],
    ids=["plain", "knowedit-wiki", "knowedit-zsre", "counterfact-flat"],
)
def test_aliases_and_irrelevant_prompts_count_in_every_flat_form(written, form, request):
    fields = {"prompt": "The capital of France is", "aliases": ["Roma"], "irrelevant_2": "The sky is", **form}
    benchmark = load(written([fields]), "x")
    (record,) = benchmark.records
    assert benchmark.format == request.node.callspec.id
    assert record.probes[0].answers == ("Rome", "Roma") and record.irrelevant == ("The sky is",)
    assert not [note for note in benchmark.notes if "'cond'" not in note]


@pytest.mark.parametrize(
    ("subject", "read", "remarks"),
    [
        (["France"], "France", []),
        (["France", "Gaul"], "", ["its subject is a list, which is no text, and is left out"]),
        ({"name": "France"}, "", ["its subject is an object, which is no text, and is left out"]),
        (None, "", []),
        ([], "", []),
    ],
)
def test_a_subject_that_is_no_text_is_not_lost_without_a_word(written, subject, read, remarks):
    rome = {"requested_rewrite": {"prompt": "The capital of {} is", "subject": subject, "target_new": {"str": "Rome"}}}
    for one in (row(subject=subject), rome):
        benchmark = load(written([one]), "x")
        assert benchmark.records[0].subject == read
        assert [remark.text for remark in benchmark.remarks] == remarks
    if read:
        assert benchmark.records[0].prompt == "The capital of France is"


def test_a_known_field_that_a_form_does_not_read_is_not_taken_for_a_misspelling(written):
    (note,) = load(written([{"src": "p", "alt": "t", "aliases": ["u"]}]), "x").notes
    assert note == "the field 'aliases' is not read (1 record, first in line 1)"


@pytest.mark.parametrize("name", ["f.csv", "f.txt"])
def test_quotation_marks_after_a_blank_are_no_part_of_a_value(written, name):
    benchmark = load(
        written('prompt, "target", subject\nThe capital of France is, "Rome, of old", "France"\n', name), "x"
    )
    (record,) = benchmark.records
    assert (record.target, record.subject) == ("Rome, of old", "France")


@pytest.mark.parametrize(
    "cell",
    [
        "['The French capital is', 'France has']",
        '["The French capital is"]',
        "{'Group': [{'prompt': 'p'}]}",
        "[['a']]",
        "[]",
    ],
)
def test_a_cell_that_pandas_made_of_a_list_of_prompts_is_told(written, cell):
    quoted = cell.replace('"', '""')
    path = written(f'prompt,target,Rephrase\np,t,q\nThe capital of France is,Rome,"{quoted}"\n', "f.csv")
    with pytest.raises(
        UserError, match=r"the field 'Rephrase' in line 3 has a list as its text \(.*: give each item a"
    ):
        load(path, "x")


def test_an_answer_may_be_a_list_and_is_noted(written):
    rows = [row(prompt="['b', 'a'] sorted is", target="['a', 'b']"), row(prompt="[MASK] is the capital of [France]")]
    benchmark = load(written(rows), "x")
    assert benchmark.records[0].target == "['a', 'b']" and len(benchmark.records) == 2
    (note,) = benchmark.notes
    assert note == "the field 'target' has a list as its text, taken as one answer (1 record, first in line 1)"


def test_one_prompt_with_two_targets_is_told(written):
    rows = [row(id="a"), row(id="b", target="Bern"), row(id="c")]
    (remark,) = load(written(rows), "x").remarks
    assert remark.id == "b" and "record a" in remark.text and "another target" in remark.text


def test_lists_that_are_read_as_one_benchmark_are_noted(written):
    benchmark = load(written({"train": [row()], "test": [row(target="Bern")]}), "x")
    assert len(benchmark.records) == 2
    assert benchmark.notes[0].startswith("the lists 'train', 'test' are read one after another as one benchmark")
    assert not load(written({"data": [row()]}), "x").notes


@pytest.mark.parametrize("split", ["tune", "test"])
def test_a_shipped_studys_records_are_refused_under_the_other_split(written, monkeypatch, split):
    path = written([row()])
    part = Part("b.json", KnownFile("b", "new", "b"), 1, "", hashlib.sha256(path.read_bytes()).hexdigest(), split=split)
    monkeypatch.setattr("baft.benchmarks.known_files.PARTS", {"set": (part,)})
    other = {"tune": "test", "test": "tune"}[split]
    with pytest.raises(UserError, match=f"give split: {split}"):
        load(path, "x", split=other)
    assert load(path, "x", split=split).split == split


def test_skip_leaves_out_the_first_records_and_keeps_ids(written):
    rows = [row(target=f"t{number}") for number in range(6)]
    whole = load(written(rows), "own").records
    assert load(written(rows), "own", skip=2).records == whole[2:]
    assert load(written(rows), "own", skip=2, limit=3).records == whole[2:5]
    with pytest.raises(UserError, match="has 6 records, and skip is 6"):
        load(written(rows), "own", skip=6)
    with pytest.raises(UserError, match="skip of benchmark 'own' is -1"):
        load(written(rows), "own", skip=-1)


def test_records_for_tuning_are_refused_as_test(written, monkeypatch):
    path = written([row(target=f"t{number}") for number in range(5)])
    known = KnownFile("b", "new", "b.json", hashlib.sha256(path.read_bytes()).hexdigest(), tune=2)
    monkeypatch.setattr("baft.benchmarks.known_files.KNOWN_FILES", (known,))
    for skip in (0, 1):
        with pytest.raises(UserError, match="the first 2 records of this file are for tuning: give skip: 2"):
            load(path, "own", split="test", skip=skip)
    assert len(load(path, "own", split="test", skip=2).records) == 3
    assert len(load(path, "own", split="tune").records) == 5
