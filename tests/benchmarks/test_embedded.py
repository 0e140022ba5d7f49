import os
import re
from collections import Counter

import pytest

from baft.benchmarks.embedded import EMBEDDED, build
from baft.benchmarks.facts import fill
from baft.benchmarks.irrelevant import load_pool
from baft.benchmarks.store import read_benchmark, write_benchmark
from baft.benchmarks.subjects import without_subject
from baft.errors import UserError

FACTUAL = ("mini_wiki_recent", "mini_wiki_counterfact", "mini_zsre", "mini_wikibio")


@pytest.fixture(params=EMBEDDED)
def benchmark(request):
    return build(request.param)


def kinds(record):
    return Counter(probe.kind for probe in record.probes)


def test_each_has_enough_records_with_ids_of_their_own(benchmark):
    assert len(benchmark.records) >= 40
    assert len({record.id for record in benchmark.records}) == len(benchmark.records)
    assert benchmark.rejected == ()


def test_every_record_has_the_probes_of_its_benchmark(benchmark):
    for record in benchmark.records:
        found = kinds(record)
        assert found["reliability"] == 1
        assert found["generality"] >= 2
        assert found["locality"] >= 2
    if benchmark.name == "mini_convsent":
        (sentiment,) = [probe for probe in benchmark.records[0].probes if probe.kind == "sentiment"]
        assert len(sentiment.answers) >= 4 and len(sentiment.contrast) >= 5
        assert not set(sentiment.answers) & set(sentiment.contrast)
        assert benchmark.records[0].target not in sentiment.answers
    elif benchmark.name != "mini_wikibio":
        assert sum(kinds(record)["portability"] > 0 for record in benchmark.records) > len(benchmark.records) / 2


def test_no_slot_is_left_open_and_every_subject_is_in_its_prompt(benchmark):
    assert without_subject(benchmark.records) == ()
    for record in benchmark.records:
        for probe in record.probes:
            assert not re.search(r"[{}]|\bthe the\b|  ", probe.prompt), probe.prompt
            assert probe.prompt == probe.prompt.strip()
            assert probe.answers


def test_no_locality_probe_is_changed_by_an_edit_of_the_same_benchmark(benchmark):
    edits = {record.prompt for record in benchmark.records}
    if benchmark.name == "mini_convsent":
        edits = set()
        # There, other topics are asked about: never the edited one.
        for record in benchmark.records:
            assert record.prompt not in [probe.prompt for probe in record.probes if probe.kind == "locality"]
    for record in benchmark.records:
        for probe in record.probes:
            assert probe.kind != "locality" or probe.prompt not in edits


def test_a_target_is_never_what_was_true(benchmark):
    for record in benchmark.records:
        assert record.target not in record.truth
    if benchmark.name in ("mini_wiki_counterfact", "mini_zsre"):
        assert all(record.truth for record in benchmark.records)


def test_building_again_gives_the_same(benchmark, tmp_path):
    assert build(benchmark.name) == benchmark
    write_benchmark(benchmark, tmp_path / "b.parquet")
    assert read_benchmark(tmp_path / "b.parquet") == benchmark


def test_the_pool_of_irrelevant_prompts_shares_none_with_any_probe():
    pool = load_pool()
    benchmarks = [build(name) for name in EMBEDDED]
    probes = {probe.prompt for b in benchmarks for record in b.records for probe in record.probes}
    subjects = {record.subject for b in benchmarks for record in b.records} | {s.name for s in pool.subjects}
    trained = set(pool.general) | {template.fill(s) for template in pool.templates for s in subjects}
    assert not probes & trained


def test_limit_split_and_names():
    assert [r.id for r in build("mini_zsre", limit=3).records] == [r.id for r in build("mini_zsre").records][:3]
    assert build("mini_zsre", split="test").split == "test"
    with pytest.raises(UserError, match="mini_zsre"):
        build("mini_nonsense")
    with pytest.raises(UserError, match="0"):
        build("mini_zsre", limit=0)


def test_fill_writes_subjects_with_their_article():
    row = {"subject": "Eiffel Tower", "article": "the "}
    assert fill("{the} is not {o}", row, "Big Ben") == "The Eiffel Tower is not Big Ben"
    assert fill("To see {the}: {s}, {The}", row) == "To see the Eiffel Tower: Eiffel Tower, The Eiffel Tower"


@pytest.fixture(scope="module")
def answers(request):
    """Prompts to the first eight tokens that the embedded model decodes greedily."""
    folder = os.environ.get("BAFT_TEST_MODEL")
    if not folder:
        try:
            folder = request.getfixturevalue("smollm2_folder")
        except pytest.FixtureLookupError:
            pytest.skip("BAFT_TEST_MODEL does not name the folder of the converted embedded model")
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def decode(prompts):
        decoded = {}
        ordered = sorted(set(prompts), key=len)
        for start in range(0, len(ordered), 32):
            batch = ordered[start : start + 32]
            rows = tokenizer(batch, return_tensors="pt", padding=True, add_special_tokens=False)
            with torch.no_grad():
                tokens = model.generate(**rows, max_new_tokens=8, do_sample=False, pad_token_id=tokenizer.eos_token_id)
            texts = tokenizer.batch_decode(tokens[:, rows.input_ids.shape[1] :], skip_special_tokens=True)
            decoded.update(zip(batch, texts, strict=True))
        return decoded

    return decode


def normalised(text):
    words = re.sub(r"[^\w\s]", "", text.lower()).split()
    return " ".join(word for word in words if word not in ("a", "an", "the"))


def known_rate(decode, questions):
    """Share of (prompt, accepted answers) whose decoded answer starts with an accepted one."""
    decoded = decode([prompt for prompt, _ in questions])
    known = [
        any(normalised(decoded[prompt]).startswith(normalised(answer)) for answer in accepted)
        for prompt, accepted in questions
    ]
    return sum(known) / len(known)


@pytest.mark.slow
@pytest.mark.parametrize("name", FACTUAL)
def test_the_model_knows_what_locality_asks(name, answers):
    records = build(name).records
    probes = [(p.prompt, p.answers) for record in records for p in record.probes if p.kind == "locality"]
    rate = known_rate(answers, probes)
    print(f"{name}: {rate:.3f} of {len(probes)} locality answers known")
    assert rate >= 0.70


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mini_wiki_counterfact", "mini_zsre"])
def test_the_model_knows_what_is_edited(name, answers):
    records = build(name).records
    rate = known_rate(answers, [(record.prompt, record.truth) for record in records])
    print(f"{name}: {rate:.3f} of {len(records)} true answers known")
    assert rate >= 0.70
