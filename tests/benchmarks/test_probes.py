"""Probes under the names and in the shapes that public files and toolkits give them."""

import pytest

from baft.benchmarks.formats import recognise
from baft.benchmarks.tracking import Tracked

EDIT = {"prompt": "The capital of France is", "target": "Rome", "subject": "France", "truth": "Paris"}


def probes(row):
    """Kind, group, prompt and answers of all probes but the edit's own, the remarks, and what was not read."""
    tracked = Tracked(row)
    (form,) = {recognise([tracked])}
    draft = form.parser([])(type("Entry", (), {"row": tracked, "position": 0}))
    found = [(probe.kind, probe.group, probe.prompt, probe.answers) for probe in draft.probes[1:]]
    return found, draft.remarks, list(tracked.unread())


def local(*pairs, group="", kind="locality"):
    return [(kind, group, prompt, answers) for prompt, *answers in pairs for answers in [tuple(answers)]]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"locality": [{"loc": "l", "loc_ans": "a"}, {"loc": "m", "loc_ans": "b"}]}, local("la", "mb")),
        ({"locality": {"loc": "l", "loc_ans": "a"}}, local("la")),
        ({"locality": ["l", "m"], "locality_answer": ["a", "b"]}, local("la", "mb")),
        ({"locality": ["l", "m"], "locality_answer": "a"}, local("la", "ma")),
        ({"locality": "l", "locality_answer": ["a", "b"]}, local("lab")),
        ({"locality": ["l"], "locality_answer": [["a", "b"]]}, local("lab")),
        ({"locality_2": "l", "locality_answer_2": "a", "locality_3": "m", "locality_3_answer": "b"}, local("la", "mb")),
        ({"locality_inputs": {"near": {"prompt": ["l", "m"], "ground_truth": ["a", "b"]}}}, local("la", "mb", group="near")),
        ({"locality_inputs": {"near": {"prompt": "l", "ground_truth": "a"}}}, local("la", group="near")),
        ({"locality": {"near": [{"prompt": "l", "ground_truth": [["a"], ["b"]]}]}}, local("lab", group="near")),
        ({"portability": [{"prompt": "l", "answer": "a"}]}, local("la", kind="portability")),
        ({"portability": {"New Question": "l", "New Answer": "a"}}, local("la", kind="portability", group="Reasoning")),
        ({"loc": "l", "loc_ans": "a"}, local("la", group="Unrelated")),
        ({"unrelated_relation": {"question": "l", "object": "a"}}, local("la", group="Other_Attribution")),
        ({"mhop": "l", "mhop_ans": "a"}, local("la", kind="portability", group="Multi_Hop")),
        ({"questions": ["l", "m"], "new_answer": "a", "new_answer_alias": ["b"]},
         local("lab", "mab", kind="portability", group="Multi_Hop")),
        ({"sub_question": ["l", "m"], "sub_answer": ["a", "b"]},
         local("la", "mb", kind="portability", group="Sub_Questions")),
        ({"inverse question": "l"}, []),
        ({"portability": [{"prompt": "l", "answers": [{"value": "a", "aliases": ["b"]}]}]},
         local("lab", kind="portability")),
    ],
)  # fmt: skip
def test_probes_in_every_shape(fields, expected):
    found, remarks, unread = probes(EDIT | fields)
    assert found == expected
    assert remarks == []
    assert unread == ([] if expected else list(fields))


@pytest.mark.parametrize(
    "name", ["rephrase", "paraphrase", "paraphrase_prompts", "rephrases", "para_question", "rephrase_2"]
)
@pytest.mark.parametrize("value", ["q", ["q"], {"Forward": ["q"]}])
def test_rephrasings_have_the_edits_answers(name, value):
    found, _, unread = probes(EDIT | {name: value})
    assert [(kind, prompt, answers) for kind, _, prompt, answers in found] == [("generality", "q", ("Rome",))]
    assert unread == []


def test_neighbours_keep_the_true_answer_and_aliases_rename_the_subject():
    fields = {"neighborhood_prompts": ["l"], "distracting_neighborhood_prompts": ["m"], "subject_aliases": ["Gaul"]}
    found, _, _ = probes(EDIT | fields)
    assert found == [
        ("portability", "Subject_Aliasing", "The capital of Gaul is", ("Rome",)),
        ("locality", "Neighborhood", "l", ("Paris",)),
        ("locality", "Distracting_Neighborhood", "m", ("Paris",)),
    ]


def test_lists_of_different_lengths_are_left_out_with_a_remark():
    found, remarks, _ = probes(EDIT | {"locality": ["l", "m"], "locality_answer": ["a"]})
    assert found == [] and remarks == ["2 prompts of locality with 1 answers are left out"]


@pytest.mark.parametrize(
    ("row", "edit"),
    [
        ({"subject": "s", "update": "u?", "ans": "a", "rephrase": "r", "personas": "p", "loc": "l", "loc_ans": "x"},
         ("u?", "a")),
        ({"question": "q?", "answer": "a", "para_question": "r", "sub_question": ["s"], "sub_answer": ["t"]}, ("q?", "a")),
        ({"subject": "s", "relation": "r", "object": "o", "question": "q?", "paraphrased_question": "p"}, ("q?", "o")),
        ({"prompt": "p", "target_new": "t", "target_old": "u", "rephrase": ["r"], "locality": []}, ("p", "t")),
        ({"requested_rewrite": [{"prompt": "{} is", "subject": "s", "target_new": {"str": "t"}, "question": "q"}]},
         ("s is", "t")),
    ],
)  # fmt: skip
def test_public_forms_are_recognised(row, edit):
    tracked = Tracked(row)
    form = recognise([tracked])
    assert form is not None
    draft = form.parser([])(type("Entry", (), {"row": tracked, "position": 0}))
    assert (draft.prompt, draft.target) == edit
    assert any(probe.kind == "generality" for probe in draft.probes)
