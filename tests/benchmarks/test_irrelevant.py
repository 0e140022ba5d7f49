import pytest

from baft.benchmarks.irrelevant import Template, load_pool
from baft.errors import UserError
from tests.benchmarks.real import DATA, load_real


def test_shipped_pool_is_large_enough_and_has_no_duplicates():
    pool = load_pool()
    assert len(pool.general) >= 60
    assert len(pool.templates) >= 40
    assert len(pool.subjects) >= 80
    for texts in (pool.general, [t.text for t in pool.templates], [s.name for s in pool.subjects]):
        assert len(set(texts)) == len(texts)


def test_every_kind_of_subject_has_templates_of_its_own():
    pool = load_pool()
    for kind in {subject.kind for subject in pool.subjects}:
        own = [template for template in pool.templates if template.kind == kind]
        assert len(own) >= 5


def test_attributes_are_asked_for_in_statements_and_questions():
    pool = load_pool()
    texts = [template.fill("Norway") for template in (*pool.statements, *pool.questions)]
    assert {"The capital of Norway is", "What is the capital of Norway?"} <= set(texts)
    assert len(set(texts)) == len(texts) >= 200


def test_fill_capitalises_a_subject_only_at_the_start():
    assert Template("thing", "{subject} is made of").fill("the piano") == "The piano is made of"
    assert Template("thing", "The use of {subject} is").fill("the piano") == "The use of the piano is"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("general: [a]", "templates"),
        ("[", "YAML"),
        (
            "general: [a, 3]\ntemplates: {any: ['{subject} is']}\nsubjects: {any: [b]}\nattributes: {any: [c]}",
            "general",
        ),
        ("general: [a]\ntemplates: {any: ['no slot']}\nsubjects: {any: [b]}\nattributes: {any: [c]}", "no slot"),
        ("general: [a]\ntemplates: {any: ['{subject} is']}\nsubjects: [b]\nattributes: {any: [c]}", "subjects must"),
        ("general: [a]\ntemplates: {any: ['{subject} is']}\nsubjects: {any: [b]}", "attributes"),
    ],
)
def test_a_broken_pool_is_told_in_one_sentence(tmp_path, text, named):
    path = tmp_path / "pool.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=named) as caught:
        load_pool(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_pool_is_told(tmp_path):
    with pytest.raises(UserError, match="absent"):
        load_pool(tmp_path / "absent.yaml")


def test_no_prompt_of_the_pool_is_a_probe_of_a_published_benchmark():
    files = sorted(DATA.glob("*/*.json"))
    if not files:
        pytest.skip("the published benchmark files are not here")
    pool = load_pool()
    fixed = set(pool.general) | {t.fill(subject.name) for t in pool.templates for subject in pool.subjects}
    for file in files:
        for record in load_real(file).records:
            probes = {probe.prompt for probe in record.probes}
            own = {template.fill(record.subject) for template in pool.templates}
            assert probes.isdisjoint(fixed) and probes.isdisjoint(own), (file.name, record.id)


@pytest.mark.parametrize(
    ("subject", "prompt"),
    [
        ("the Nile", "The Nile is near"),
        ("iPhone", "iPhone is near"),
        ("Peru", "Peru is near"),
        ("საქართველო", "საქართველო is near"),
        ("straße", "Straße is near"),
    ],
)
def test_a_subject_that_begins_a_prompt_has_its_capital(subject: str, prompt: str) -> None:
    assert Template("any", "{subject} is near").fill(subject) == prompt
    assert Template("any", "Near {subject} is").fill(subject) == f"Near {subject} is"
