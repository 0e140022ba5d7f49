"""Whatever a file holds: a benchmark in which every record is used or reported, or one sentence for the user."""

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from baft.benchmarks.formats import FORMATS
from baft.benchmarks.load import load
from baft.benchmarks.names import NAMES
from baft.benchmarks.store import read_benchmark, write_benchmark
from baft.errors import UserError

FUZZ = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])

# With lone surrogates, right-to-left letters, emoji and separators of lines that JSON allows inside text.
CHARACTERS = st.one_of(st.characters(), st.sampled_from("\ud800\udfff\u202e\u2028\x00{}|\"',\n אبא😀👨‍👩‍👧 "))
TEXT = st.text(CHARACTERS, max_size=20)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)
ANSWERS = st.one_of(TEXT, st.lists(st.lists(TEXT, max_size=2), max_size=2), VALUES)
GROUPS = st.dictionaries(
    st.sampled_from(["Reasoning", "Forgetfulness", ""]),
    st.lists(st.fixed_dictionaries({"prompt": st.one_of(TEXT, VALUES), "ground_truth": ANSWERS}), max_size=2),
    max_size=2,
)
KEYS = {
    "knowedit-wiki": ["subject", "prompt", "target_new", "ground_truth", "rephrase"],
    "knowedit-zsre": ["subject", "prompt", "target_new", "ground_truth", "rephrase_prompt", "cond"],
    "knowedit-wikibio": ["text", "labels", "concept"],
    "knowedit-convsent": ["ent", "pos", "neg"],
    "knowedit-sanitation": ["question", "target_new", "ground_truth", "subject"],
    "counterfact-flat": ["prompt", "target_new", "subject", "locality_prompt", "locality_ground_truth"],
    "counterfact-rome": ["requested_rewrite", "paraphrase_prompts", "neighborhood_prompts", "generation_prompts"],
    "zsre-mend": ["subject", "src", "alt", "answers", "rephrase", "loc", "loc_ans"],
    "plain": ["prompt", "target", "subject", "rephrase_2", "locality", "locality_answer", "irrelevant"],
    "questions": ["question", "answer", "para_question", "sub_question", "sub_answer", "loc", "loc_ans", "strange"],
}
REWRITES = st.fixed_dictionaries(
    {"prompt": TEXT, "subject": TEXT, "target_new": st.one_of(VALUES, st.fixed_dictionaries({"str": ANSWERS}))}
)


@st.composite
def rows(draw):
    """Rows that have the keys of some format, with values that need not be right, and now and then no row at all."""
    keys = draw(st.sampled_from(sorted(KEYS.values())))
    fields = {key: st.one_of(REWRITES, VALUES) if key == "requested_rewrite" else ANSWERS for key in keys}
    optional = {"portability": st.one_of(GROUPS, VALUES), "case_id": VALUES}
    if "locality" not in keys:
        optional["locality"] = st.one_of(GROUPS, VALUES)
    return draw(st.lists(st.one_of(st.fixed_dictionaries(fields, optional=optional), VALUES), min_size=1, max_size=5))


def test_every_format_is_fuzzed():
    assert set(KEYS) == {known.name for known in FORMATS}


def loaded_or_told(path, **arguments):
    """The benchmark, or None where the user is told in one sentence."""
    try:
        return load(path, "fuzz", **arguments)
    except UserError as error:
        assert str(error) and "\n" not in str(error)
        return None


def check(benchmark, count, folder):
    """Every one of ``count`` items is used or reported, and what is used can be measured and stored."""
    assert len(benchmark.records) + len(benchmark.rejected) == count
    ids = [record.id for record in benchmark.records] + [rejected.id for rejected in benchmark.rejected]
    assert len(set(ids)) == count
    for record in benchmark.records:
        assert record.prompt and record.target
        (edit,) = [probe for probe in record.probes if probe.kind == "reliability"]
        assert (edit.prompt, edit.answers[0]) == (record.prompt, record.target)
        for probe in record.probes:
            assert probe.prompt.strip()
            assert all(probe.answers) and (probe.answers or probe.kind == "fluency")
            assert not set(probe.answers) & set(probe.contrast)
    write_benchmark(benchmark, folder / "b.parquet")
    assert read_benchmark(folder / "b.parquet") == benchmark


@FUZZ
@given(rows())
def test_any_rows_of_any_format(tmp_path, items):
    path = tmp_path / "fuzz.json"
    path.write_text(json.dumps(items), encoding="utf-8")
    benchmark = loaded_or_told(path)
    if benchmark is not None:
        kept = len(items)
        if benchmark.format == "knowedit-sanitation":
            kept = len(benchmark.records) + len(benchmark.rejected)
        check(benchmark, kept, tmp_path)


KEPT = {"question": "", "target_new": [["0"]], "ground_truth": [["0"]], "subject": ""}


@FUZZ
@given(rows(), st.sampled_from(sorted(KEYS)))
@example([KEPT], "knowedit-sanitation")
def test_any_rows_read_as_any_format(tmp_path, items, format):
    path = tmp_path / "fuzz.jsonl"
    path.write_text("\n".join(json.dumps(item) for item in items), encoding="utf-8")
    benchmark = loaded_or_told(path, format=format)
    if benchmark is not None and format != "knowedit-sanitation":
        check(benchmark, len(items), tmp_path)


@FUZZ
@given(rows(), st.data())
def test_a_truncated_file_is_told(tmp_path, items, data):
    whole = json.dumps(items)
    path = tmp_path / "fuzz.json"
    path.write_text(whole[: data.draw(st.integers(0, len(whole) - 1))], encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load(path, "fuzz")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@FUZZ
@given(st.binary(max_size=200), st.sampled_from(["json", "jsonl", "csv", "tsv", "txt"]))
@example(b"\xef\xbb\xbf", "csv")
@example(b"prompt,target\n\x00,b\n", "csv")
@example(b"[" + b"1" * 5000 + b"]", "json")
def test_any_bytes(tmp_path, content, suffix):
    path = tmp_path / f"fuzz.{suffix}"
    path.write_bytes(content)
    loaded_or_told(path)


@FUZZ
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4))
def test_csv_and_json_agree_on_any_text(tmp_path, pairs):
    import csv

    clean = [tuple(text.encode("utf-8", "replace").decode() for text in pair) for pair in pairs]
    with (tmp_path / "fuzz.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
        writer.writerows([("prompt", "target"), *clean])
    (tmp_path / "fuzz.json").write_text(json.dumps([{"prompt": p, "target": t} for p, t in clean]), encoding="utf-8")
    from_csv, from_json = loaded_or_told(tmp_path / "fuzz.csv"), loaded_or_told(tmp_path / "fuzz.json")
    assert (from_csv is None) == (from_json is None)
    if from_csv is not None and from_json is not None:
        assert from_csv.records == from_json.records
        assert [(one.id, one.reason) for one in from_csv.rejected] == [(o.id, o.reason) for o in from_json.rejected]


@FUZZ
@given(
    st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.booleans(),
)
def test_any_text_arrives_in_any_csv(tmp_path, pairs, delimiter, encoding, packed):
    import csv
    import gzip
    import io

    clean = [tuple(text.encode("utf-8", "replace").decode() for text in pair) for pair in pairs]
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([("prompt", "target"), *clean])
    content = stream.getvalue().encode(encoding)
    (tmp_path / "fuzz.csv").write_bytes(gzip.compress(content) if packed else content)
    (tmp_path / "fuzz.json").write_text(json.dumps([{"prompt": p, "target": t} for p, t in clean]), encoding="utf-8")
    from_csv, from_json = loaded_or_told(tmp_path / "fuzz.csv"), loaded_or_told(tmp_path / "fuzz.json")
    assert (from_csv is None) == (from_json is None)
    if from_csv is not None and from_json is not None:
        assert from_csv.records == from_json.records


FIELDS = st.sampled_from([*sorted(NAMES), "strange", "rephrase_2", "Target New", "locality_inputs"])


@FUZZ
@given(st.dictionaries(FIELDS, st.one_of(ANSWERS, GROUPS, VALUES), max_size=6))
def test_no_field_is_lost_without_a_word(tmp_path, fields):
    path = tmp_path / "fuzz.json"
    path.write_text(json.dumps([{"prompt": "p", "target": "t", "strange": 1} | fields]), encoding="utf-8")
    benchmark = loaded_or_told(path, format="plain")
    if benchmark is not None:
        check(benchmark, 1, tmp_path)
        strange = fields.get("strange", 1)
        # Of NaN, too, there is nothing to tell.
        assert (
            strange in (None, "", [], {}) or strange != strange or any("'strange'" in note for note in benchmark.notes)
        )


@pytest.mark.parametrize("prompt", ["x" * 100_000, "שלום " * 20_000, "👩‍🚀" * 5_000])
def test_a_long_prompt_arrives_whole(tmp_path, prompt):
    path = tmp_path / "long.json"
    path.write_text(json.dumps([{"prompt": prompt, "target": "t"}], ensure_ascii=False), encoding="utf-8")
    benchmark = load(path, "long")
    assert benchmark.records[0].prompt == prompt.strip()
    check(benchmark, 1, tmp_path)


def test_duplicate_ids_of_used_and_rejected_records_stay_apart(tmp_path):
    path = tmp_path / "ids.json"
    rows = [{"case_id": 1, "prompt": "p", "target": target} for target in ("a", "", "b", None, "c")]
    path.write_text(json.dumps(rows), encoding="utf-8")
    check(load(path, "ids"), 5, tmp_path)


@pytest.mark.parametrize("depth", [700, 5000])
def test_objects_nested_deep_are_told(tmp_path, depth):
    path = tmp_path / "file.json"
    path.write_text('[{"prompt": "p", "target": ' + '{"a": ' * depth + "1" + "}" * depth + "}]", encoding="utf-8")
    with pytest.raises(UserError, match=r"file\.json.*deep"):
        load(path, "deep")


@pytest.mark.parametrize(
    "nothing", [None, [None], [[None, []]], {"a": None}, [{"prompt": None, "ground_truth": [[None]]}]]
)
def test_nested_nulls_are_reported_wherever_they_stand(tmp_path, nothing):
    good = {"subject": "s", "prompt": "the s is", "target_new": "t", "rephrase": "s is", "ground_truth": "u"}
    probes = {
        "Reasoning": [{"prompt": "p", "ground_truth": nothing}, {"prompt": nothing, "ground_truth": "a"}, nothing]
    }
    rows = [
        good,
        *({**good, key: nothing} for key in good),
        {**good, "portability": nothing, "locality": {"": nothing}},
        {**good, "portability": probes, "locality": probes},
    ]
    path = tmp_path / "nulls.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    benchmark = load(path, "nulls", format="knowedit-wiki")
    check(benchmark, len(rows), tmp_path)
    assert {rejected.reason for rejected in benchmark.rejected} >= {"has no target"}
    assert not [probe for probe in benchmark.records[-1].probes if probe.kind in ("portability", "locality")]
    assert len([remark for remark in benchmark.remarks if remark.id == benchmark.records[-1].id]) >= 4
