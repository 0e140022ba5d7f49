import json

import pytest

from baft.benchmarks.formats import FORMATS, recognise
from baft.benchmarks.load import load
from baft.benchmarks.mend import is_training
from baft.benchmarks.records import Probe


@pytest.fixture
def loaded(tmp_path):
    def write_and_load(data, **arguments):
        path = tmp_path / "file.json"
        path.write_text(json.dumps(data), encoding="utf-8")
        return load(path, "name", **arguments)

    return write_and_load


def probes(record, kind):
    return [probe for probe in record.probes if probe.kind == kind]


ROME = {
    "case_id": 4,
    "requested_rewrite": {
        "prompt": "{} comes from",
        "subject": "Ada",
        "target_new": {"str": "Oslo", "id": "Q1"},
        "target_true": {"str": "Rome", "id": "Q2"},
    },
    "paraphrase_prompts": ["Ada was born in", "The home of Ada is"],
    "neighborhood_prompts": ["Bea comes from", "Cid comes from", "Bea comes from"],
    "attribute_prompts": ["Dan comes from"],
    "generation_prompts": ["Ada lives in", "Ada lives in", "Ada's parents are"],
    "portability": {"New Question": "In which country was Ada born?", "New Answer": "Norway"},
}


def test_counterfact_of_rome(loaded):
    benchmark = loaded([ROME])
    (record,) = benchmark.records
    assert (benchmark.format, record.id, record.prompt) == ("counterfact-rome", "4", "Ada comes from")
    assert probes(record, "reliability") == [Probe("reliability", "", 0, "Ada comes from", ("Oslo",), ("Rome",))]
    assert [p.contrast for p in probes(record, "generality")] == [("Rome",), ("Rome",)]
    assert probes(record, "locality")[1] == Probe("locality", "Neighborhood", 1, "Cid comes from", ("Rome",), ("Oslo",))
    assert len(probes(record, "locality")) == 3
    assert [p.prompt for p in probes(record, "fluency")] == ["Ada lives in", "Ada's parents are"]
    assert probes(record, "portability") == [
        Probe("portability", "Reasoning", 0, "In which country was Ada born?", ("Norway",))
    ]


def test_counterfact_flat(loaded):
    row = {
        "case_id": 2,
        "prompt": "Ada plays the",
        "target_new": "piano",
        "subject": "Ada",
        "ground_truth": "guitar",
        "rephrase_prompt": "Ada is good at the",
        "locality_prompt": "Bea plays the",
        "locality_ground_truth": "guitar",
    }
    benchmark = loaded([row])
    assert benchmark.format == "counterfact-flat"
    assert benchmark.records[0].probes == (
        Probe("reliability", "", 0, "Ada plays the", ("piano",), ("guitar",)),
        Probe("generality", "", 0, "Ada is good at the", ("piano",), ("guitar",)),
        Probe("locality", "Neighborhood", 0, "Bea plays the", ("guitar",), ("piano",)),
    )


def mend_rows(count):
    return [
        {
            "subject": f"s{i}",
            "src": f"Who is s{i}?",
            "alt": "new",
            "answers": ["old", "aged"],
            "rephrase": f"s{i}, who?",
        }
        | {"loc": f"nq question: number {i // 2}", "loc_ans": f"answer {i // 2}"}
        for i in range(count)
    ]


def test_mend_never_trains_on_a_question_that_judges(loaded):
    benchmark = loaded(mend_rows(60))
    assert benchmark.format == "zsre-mend"
    trained = {prompt for record in benchmark.records for prompt in record.irrelevant}
    judged = {probe.prompt for record in benchmark.records for probe in probes(record, "locality")}
    assert trained and judged
    assert not trained & judged
    for record in benchmark.records:
        assert len(record.irrelevant) == len(probes(record, "locality")) == 1
        assert record.truth == ("old", "aged")


def test_mend_keeps_a_records_own_question_where_it_can(loaded):
    rows = mend_rows(60)
    for row, record in zip(rows, loaded(rows).records, strict=True):
        own = probes(record, "locality")[0].prompt if not is_training(row["loc"]) else record.irrelevant[0]
        assert own == row["loc"]


def test_mend_divides_alike_with_any_limit(loaded):
    assert loaded(mend_rows(60), limit=7).records == loaded(mend_rows(60)).records[:7]


def convsent_rows(count):
    return [
        {"ent": f"topic {i}", "pos": [f" I like {i}. ", "Good."], "neg": [f"I hate {i}.", "Bad."]} for i in range(count)
    ]


def test_convsent_wants_one_sentiment_and_probes_far_topics(loaded):
    benchmark = loaded(convsent_rows(40))
    assert benchmark.format == "knowedit-convsent"
    wanted = set()
    for i, record in enumerate(benchmark.records):
        (sentiment,) = probes(record, "sentiment")
        liked, hated = (f"I like {i}.", "Good."), (f"I hate {i}.", "Bad.")
        likes = record.target == liked[0]
        # What is trained on is not scored.
        assert sentiment.answers == (liked[1:] if likes else hated[1:])
        assert sentiment.contrast == (hated if likes else liked)
        wanted.add(likes)
        others = [probe.prompt for probe in probes(record, "locality")]
        near = [f"What do you think of topic {(i + step) % 40}?" for step in range(-10, 11)]
        assert len(set(others)) == 5
        assert not set(others) & set(near)
    assert wanted == {True, False}


def test_a_lone_reply_of_the_wanted_sentiment_is_not_scored(loaded):
    benchmark = loaded([{"ent": "tea", "pos": ["Good."], "neg": ["Bad."]}])
    assert probes(benchmark.records[0], "sentiment") == []
    assert "sentiment is not scored" in benchmark.remarks[0].text


def test_convsent_without_one_sentiment_is_rejected(loaded):
    rows = [*convsent_rows(2), {"ent": "odd", "pos": [], "neg": ["Bad."]}, {"ent": "", "pos": ["a"], "neg": ["b"]}]
    assert [rejected.reason for rejected in loaded(rows).rejected] == [
        "has no replies of one of the sentiments",
        "has no topic",
    ]


def test_a_lone_convsent_record_has_no_other_topics(loaded):
    assert probes(loaded(convsent_rows(1)).records[0], "locality") == []


def test_wikibio(loaded):
    row = {"text": "A passage about ada.", "labels": "She wrote.", "concept": "ada"}
    row["locality"] = {"Relation_Specificity": [{"prompt": "ada place of birth", "ground_truth": ["Oslo"]}]}
    benchmark = loaded([row])
    assert benchmark.format == "knowedit-wikibio"
    assert benchmark.records[0].subject == "ada"
    assert benchmark.records[0].probes == (
        Probe("reliability", "", 0, "A passage about ada.", ("She wrote.",)),
        Probe("locality", "Relation_Specificity", 0, "ada place of birth", ("Oslo",)),
    )


def test_sanitation_probes_what_is_to_be_retained(loaded):
    forget = [
        {"question": f"q{i}?", "subject": f"q{i}", "ground_truth": "a", "target_new": "I don't know."} for i in range(3)
    ]
    retain = [{"question": f"r{i}?", "ground_truth": f"b{i}", "target_new": f"b{i}"} for i in range(11)]
    benchmark = loaded({"K_F": forget, "K_R": retain})
    assert benchmark.format == "knowedit-sanitation"
    assert [record.target for record in benchmark.records] == ["I don't know."] * 3
    assert benchmark.rejected == ()
    asked = [probe.prompt for record in benchmark.records for probe in probes(record, "locality")]
    assert len(asked) == 15 and set(asked) == {row["question"] for row in retain}
    assert loaded(retain + forget).records[1].target == "I don't know."


def test_recognition_follows_the_majority():
    mend, flat = mend_rows(1)[0], {"prompt": "p", "target_new": "t", "locality_prompt": "l"}
    found = recognise([flat, mend, mend, {}])
    assert found is not None and found.name == "zsre-mend"
    assert recognise([{}, {"a": 1}]) is None
    assert len({known.name for known in FORMATS}) == len(FORMATS)
