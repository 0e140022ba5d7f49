import json

import pytest

from baft.benchmarks.load import load
from baft.benchmarks.records import Probe

WIKI = {
    "subject": "Ada Example",
    "prompt": "The place of birth of Ada Example is",
    "target_new": "Oslo",
    "ground_truth": "Rome",
    "portability": {
        "Reasoning": [{"prompt": "The country where Ada Example was born is", "ground_truth": [["Norway", "NO"]]}],
        "Logical_Generalization": [],
        "Subject_Aliasing": [{"prompt": "A. Example was born in", "ground_truth": "Oslo"}],
    },
    "locality": {
        "Relation_Specificity": [
            {"prompt": "The occupation of Ada Example is", "ground_truth": [["poet", "bard"], ["painter"]]},
            {"prompt": "The gender of Ada Example is", "ground_truth": ["female"]},
        ],
        "Forgetfulness": [
            {"prompt": "The place of birth of Ada Example, which is not Oslo, is", "ground_truth": [["Rome"]]}
        ],
    },
}


@pytest.fixture
def written(tmp_path):
    def write(*rows):
        path = tmp_path / "file.json"
        path.write_text(json.dumps(rows), encoding="utf-8")
        return path

    return write


def test_every_probe_of_the_wiki_form(written):
    benchmark = load(written(WIKI | {"rephrase": "Ada Example was born in"}), "wiki")
    (record,) = benchmark.records
    assert (benchmark.format, benchmark.revision) == ("knowedit-wiki", "new")
    assert (record.subject, record.target, record.truth) == ("Ada Example", "Oslo", ("Rome",))
    assert record.probes == (
        Probe("reliability", "", 0, "The place of birth of Ada Example is", ("Oslo",), ("Rome",)),
        Probe("generality", "", 0, "Ada Example was born in", ("Oslo",), ("Rome",)),
        Probe("portability", "Reasoning", 0, "The country where Ada Example was born is", ("Norway", "NO")),
        Probe("portability", "Subject_Aliasing", 0, "A. Example was born in", ("Oslo",)),
        Probe("locality", "Relation_Specificity", 0, "The occupation of Ada Example is", ("poet", "bard", "painter")),
        Probe("locality", "Relation_Specificity", 1, "The gender of Ada Example is", ("female",)),
        Probe("locality", "Forgetfulness", 0, "The place of birth of Ada Example, which is not Oslo, is", ("Rome",)),
    )


def test_the_old_revision_has_no_rephrasings(written):
    benchmark = load(written(WIKI), "wiki")
    assert benchmark.revision == "old"
    assert not [probe for probe in benchmark.records[0].probes if probe.kind == "generality"]


def test_zsre_is_told_by_its_rephrasing(written):
    row = WIKI | {
        "rephrase_prompt": "Where was Ada Example born?",
        "cond": "Rome >> Oslo || x",
        "ground_truth": ["Rome"],
    }
    benchmark = load(written(row), "zsre")
    assert (benchmark.format, benchmark.revision) == ("knowedit-zsre", "1 records")
    assert [p.prompt for p in benchmark.records[0].probes if p.kind == "generality"] == ["Where was Ada Example born?"]


def test_a_probe_without_answer_leaves_a_remark(written):
    row = WIKI | {"locality": {"Relation_Specificity": [{"prompt": "The spouse is", "ground_truth": [[]]}]}}
    benchmark = load(written(row), "wiki")
    assert not [probe for probe in benchmark.records[0].probes if probe.kind == "locality"]
    (remark,) = benchmark.remarks
    assert remark.id == benchmark.records[0].id
    assert "The spouse is" in remark.text


@pytest.mark.parametrize("groups", ["text", 3, {"Reasoning": "text"}, {"Reasoning": ["text"]}, {"Reasoning": [None]}])
def test_probes_of_a_wrong_type_leave_a_remark(written, groups):
    benchmark = load(written(WIKI | {"portability": groups}), "wiki")
    assert len(benchmark.remarks) == 1
    assert "portability" in benchmark.remarks[0].text
