from baft.analysis.inputs import (
    EDITING,
    GENERAL,
    IRRELEVANT,
    KINDS,
    PORTABILITY,
    REPHRASING,
    general_prompts,
    inputs_of,
    pictured,
)
from baft.benchmarks.irrelevant import load_pool
from baft.benchmarks.records import Probe, Record


def record(*kinds: str) -> Record:
    return Record(
        "r", "s", "the prompt", "t", tuple(Probe(kind, "g", n, f"p{n}", ("a",)) for n, kind in enumerate(kinds))
    )  # type: ignore[arg-type]


def test_the_editing_prompt_comes_first_and_probes_keep_their_names() -> None:
    given = ["reliability", "generality", "portability", "locality", "fluency"]
    inputs = inputs_of(record(*given), [])
    assert [(one.kind, one.prompt) for one in inputs] == [
        (EDITING, "the prompt"), (REPHRASING, "p1"), (PORTABILITY, "p2"), (IRRELEVANT, "p3"),
    ]  # fmt: skip
    assert (inputs[1].group, inputs[1].index) == ("g", 1)
    assert {one.kind for one in inputs_of(record(*given), general_prompts(0))} == set(KINDS)


def test_general_prompts_are_those_not_trained_on() -> None:
    pool = load_pool().general
    for seen in (0, 5, len(pool) - 3):
        prompts = [one.prompt for one in inputs_of(record(), general_prompts(seen)) if one.kind == GENERAL]
        assert prompts == list(pool[seen : seen + 15])
        assert prompts and not set(prompts) & set(pool[:seen])


def test_the_picture_shows_a_probe_or_else_a_general_prompt() -> None:
    assert [one.kind for one in pictured(inputs_of(record("portability", "locality"), general_prompts(0)))] == [
        EDITING,
        IRRELEVANT,
    ]
    assert [one.kind for one in pictured(inputs_of(record("portability"), general_prompts(0)))] == [EDITING, GENERAL]
    assert [one.kind for one in pictured(inputs_of(record("portability"), []))] == [EDITING]
