"""The traps that evaluations of knowledge editing have fallen into, a test each, which fails if this one falls in too."""

from __future__ import annotations

import inspect
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from baft.benchmarks.records import KINDS, Probe, Record
from baft.config import EvaluationConfig, ProtocolConfig, StatisticsConfig
from baft.engine.asking import Forced, Reply
from baft.engine.budget import TokenBudget
from baft.engine.deltas import Dense, LowRank
from baft.engine.engine import Engine
from baft.engine.positions import Everywhere
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.engine.text import Text
from baft.errors import UserError
from baft.evaluation import metrics
from baft.evaluation.jobs import score
from baft.evaluation.metrics import Asked, Columns, Key, Measured, measure, measure_unedited
from baft.evaluation.protocols import moments_of, streams_of
from baft.evaluation.streams import Scoring
from baft.report.tables.main import tabulate
from tests.engine.tiny import PROMPTS, TARGETS
from tests.evaluation import styles
from tests.evaluation.plain import Plain
from tests.report.test_cells import CELL, write_cell
from tests.results.synthetic import edit, probe, write_shard

EVALUATION = EvaluationConfig(max_new_tokens=5, stop=(), fluency_tokens=12)
STATISTICS = StatisticsConfig()


def ask(prompt: str, *answers: str, kind: Any = "reliability", contrast: tuple[str, ...] = ()) -> Asked:
    found = Probe(kind, "", 0, prompt, answers, contrast)
    return Asked(0, Record(prompt, "", prompt, "x", (found,)), found)


def edited(engine: Engine, size: float = 0.5) -> EditState:
    """One stream whose weights differ by random numbers."""
    site = Site(1, engine.model.architecture.mlp_down)
    wide, tall = engine.model.widths(site)
    change = size * torch.randn(1, tall, wide, generator=torch.Generator().manual_seed(1))
    return EditState(1, {site: Dense(Everywhere(), change)})


def unedited(engine: Engine, asked: Sequence[Asked]) -> dict[Key, Measured]:
    return {a.key: m for a, m in zip(asked, measure_unedited(engine, asked, EVALUATION), strict=True)}


def test_1_teacher_forcing_is_never_shown_without_decoding(tiny_llama: Engine, tmp_path: Path) -> None:
    # The answer's first token would not have been said, and gives the others away once it is forced.
    one = ask("The capital of France is", "Paris the beautiful")
    question = metrics._question(tiny_llama, one, "", 5, {})
    own = [-1, *question.forced[0][1:]]
    row = metrics._measured(one, question, Reply("Rome", [Forced(own, [-1.0] * len(own))])).columns
    assert row["token_accuracy"] == 1 - 1 / len(own) > 0.6
    assert not row["starts_with"]
    assert not row["exact_match"]

    shown = {"token_accuracy": 0.75, "starts_with": False, "agreement": 0.75, "same_string": False}
    kinds = ("reliability", "generality", "portability", "locality")
    records = write_cell(tmp_path, [probe("a", kind, **shown) for kind in kinds], {})
    edits = next((tmp_path / "edits").rglob("*.parquet"))
    tabulate([records], [edits], tmp_path / "tables", STATISTICS)
    lines = (tmp_path / "tables" / "main.md").read_text().splitlines()
    head, row_of = (next(line for line in lines if word in line) for word in ("| Method", "| ReFT"))
    cells = dict(zip(*([c.strip() for c in line.split("|")[2:-1]] for line in (head, row_of)), strict=True))
    forced = [name for name in cells if not name.endswith(", dec.")]
    assert len(forced) == len(kinds)
    for name in forced:
        assert (cells[name], cells[f"{name}, dec."]) == ("75.0 [–]", "0.0 [–]")


def test_2_forgetting_is_not_hidden_and_the_moment_is_named(tmp_path: Path) -> None:
    records = [Record(str(n), "", "p", "t", ()) for n in range(7)]
    streams = streams_of(ProtocolConfig(length=3), records)
    assert [[r.id for batch in s.batches for r in batch] for s in streams] == [list("012"), list("345"), list("6")]
    last = dict(moments_of(ProtocolConfig(length=3), streams[0], 2))
    assert [r.id for r in last["final"]] == list("012"), "all edits of the stream, after the last one"
    assert [r.id for r in last["immediate"]] == ["2"]

    rows = [probe("a", "reliability", moment=m, token_accuracy=v) for m, v in (("immediate", 1.0), ("final", 0.25))]
    out = write_cell(tmp_path, rows, {})
    tabulate([out], [next((tmp_path / "edits").rglob("*.parquet"))], tmp_path / "tables", STATISTICS)
    text = (tmp_path / "tables" / "main.md").read_text()
    assert "25.0" in text
    assert "100.0" not in text
    assert "after the last edit of a stream" in text


def test_3_every_method_is_scored_by_the_same_function(tiny_llama: Engine) -> None:
    assert not {"method", "method_name"} & set(inspect.signature(score).parameters), "scoring knows no method"
    site = Site(1, tiny_llama.model.architecture.mlp_down)
    wide, tall = tiny_llama.model.widths(site)
    draw = torch.Generator().manual_seed(6)
    down, up = torch.randn(1, 1, wide, generator=draw), torch.randn(1, 1, tall, generator=draw)
    probes = tuple(Probe(kind, "", 0, PROMPTS[n], (TARGETS[n],), (TARGETS[n + 1],)) for n, kind in enumerate(KINDS))
    record = Record("r", "", PROMPTS[0], TARGETS[0], probes)
    before = unedited(tiny_llama, [Asked(0, record, one) for one in probes])
    stream = streams_of(ProtocolConfig(), [record])[0]
    rows = []
    # The same change of weights as ROME and as fine-tuning would hand it over.
    for delta in (LowRank(Everywhere(), down, up), Dense(Everywhere(), up.mT @ down)):
        wanted = [Scoring(0, stream, (record,), "final", 1, {})]
        rows.append(list(score(tiny_llama, EditState(1, {site: delta}), wanted, before, EVALUATION)))
    for one, other in zip(*rows, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            assert one[name] == (pytest.approx(other[name], abs=1e-4) if isinstance(one[name], float) else other[name])


def test_4_an_edited_model_is_not_compared_with_itself(tiny_llama: Engine) -> None:
    asked = [ask(p, t, kind="locality") for p, t in zip(PROMPTS, TARGETS, strict=True)]
    state, before = edited(tiny_llama), unedited(tiny_llama, asked)
    rows = measure(tiny_llama, state, asked, EVALUATION, before)
    assert all(row["kl"] > 1e-3 for row in rows)
    assert sum(row["agreement"] for row in rows) < len(rows) - 1
    assert not all(row["same_string"] for row in rows)
    assert all(
        row["logprob_before"] == before[a.key].columns["logprob_after"] for a, row in zip(asked, rows, strict=True)
    )
    again = measure(tiny_llama, state, asked, EVALUATION, before)
    assert again == rows, "asking the edited model changed what is stored of the unedited one"
    for row in measure(tiny_llama, EditState(1), asked, EVALUATION, before):
        assert (row["kl"], row["agreement"], row["same_string"]) == (0.0, 1.0, True), "the unedited model itself"
    with pytest.raises(KeyError):
        measure(tiny_llama, state, asked, EVALUATION, {})


@pytest.mark.parametrize("style", styles.STYLES)
def test_5_answers_are_scored_at_their_own_tokens(style: str) -> None:
    # Prompts of all lengths in one batch; a space at the end and a word that merges with what follows it.
    prompts = [*PROMPTS, "Paris is ", "The author of the b", "A", "Is it a poet? (", "Warsaw\n"]
    answers = ["Bucharest", "a poet", "ook", "Rome", "yes", "no one"]
    asked = [ask(p, answers[n % len(answers)], kind="locality") for n, p in enumerate(prompts)]
    engine = styles.engine(style, styles.tokenizer(style, [*prompts, *answers, *TARGETS]), budget=4096)
    tokens = engine.text.tokenizer
    assert (tokens.pad_token_id in (None, tokens.eos_token_id)) and (style == "gpt2") == (tokens.bos_token_id is None)
    before = unedited(engine, asked)
    model = engine.model.model.double()
    plain = Plain(model, model, tokens, EVALUATION.max_new_tokens, 0)
    for one in asked:
        prompt, answer = tokens(one.probe.prompt).input_ids, plain.target(one.probe.prompt, one.probe.answers[0])
        columns = before[one.key].columns
        assert columns["logprob_after"] == pytest.approx(plain.likelihood(model, prompt, [answer]), abs=1e-4)
        assert list(before[one.key].argmax) == plain.choices(model, prompt, answer)
        assert columns["decoded"].split("\n")[0].strip() == plain.greedy(model, prompt, EVALUATION.max_new_tokens)


def test_6_every_alias_is_accepted_and_the_first_is_kept_apart(tiny_llama: Engine) -> None:
    one = ask("The capital of Italy is", "Paris", "Rome", "Roma")
    question = metrics._question(tiny_llama, one, "", 5, {})
    # The model says the second alias, forced and decoded.
    forced = [
        Forced(list(question.forced[1]) if n == 1 else [-1] * len(a), [-1.0] * len(a))
        for n, a in enumerate(question.forced)
    ]
    row = metrics._measured(one, question, Reply("Rome", forced)).columns
    assert (row["exact_match"], row["starts_with"]) == (True, True)
    assert (row["token_accuracy"], row["token_accuracy_first"]) == (1.0, 0.0)


def test_7_one_prompt_format_for_every_kind_of_probe(tiny_llama: Engine, tmp_path: Path) -> None:
    tokenizer = tiny_llama.text.tokenizer
    tokenizer = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, pad_token="<pad>", eos_token="<eos>")
    tokenizer.chat_template = "{% for m in messages %}Q: {{ m.content }}\nA:{% endfor %}"
    chat = replace(tiny_llama, text=Text(tokenizer, "chat"))
    for kind in KINDS:
        one = ask("Paris is", "big", kind=kind, contrast=("small",))
        question = metrics._question(chat, one, "", 5, {})
        assert tokenizer.decode(question.prompt) == "Q: Paris is\nA:", kind
    for name, other in (("plain", "chat"), ("chat", "plain")):
        write_cell(tmp_path / name, [probe("a", "reliability", token_accuracy=1.0)], {}, prompt_format=other)
    mixed = sorted((tmp_path).rglob("records/**/*.parquet"))
    with pytest.raises(UserError, match="differ in prompt_format"):
        tabulate(mixed, [], tmp_path / "tables", STATISTICS)


def test_8_sampled_text_does_not_depend_on_the_order_of_the_run(tiny_llama: Engine) -> None:
    asked = [ask(prompt, kind="fluency") for prompt in PROMPTS]
    state, before = edited(tiny_llama), unedited(tiny_llama, asked)
    rows = measure(tiny_llama, state, asked, EVALUATION, before)
    texts = {a.key: row["decoded"] for a, row in zip(asked, rows, strict=True)}
    assert len(set(texts.values())) == len(texts)

    def texts_of(order: Sequence[Asked], engine: Engine) -> dict[Key, str]:
        found: list[Columns] = measure(engine, state, order, EVALUATION, before)
        return {a.key: row["decoded"] for a, row in zip(order, found, strict=True)}

    shuffled = random.Random(0).sample(asked, len(asked))
    torch.manual_seed(99)
    assert texts_of(shuffled, tiny_llama) == texts
    assert texts_of(asked, replace(tiny_llama, budget=TokenBudget(30))) == texts
    assert texts_of(asked[3:4], tiny_llama) == {asked[3].key: texts[asked[3].key]}


@pytest.mark.parametrize(
    ("name", "other"),
    [("protocol", {"kind": "continual"}), ("revision", "r2"), ("prompt_format", "chat"), ("dtype", "bfloat16"),
     ("split", "test"), ("evaluation", {"max_new_tokens": 30}), ("model", "beef")],
)  # fmt: skip
def test_9_numbers_that_should_not_be_compared_cannot_enter_one_table(tmp_path: Path, name: str, other: Any) -> None:
    records, edits = [], []
    for method, changes in (("reft", {}), ("rome", {name: other})):
        row = [probe("a", "reliability", token_accuracy=1.0)]
        records.append(write_cell(tmp_path, row, {"method": method}, method={"name": method}, **changes))
        cell = CELL | {"method": method, "shard": 1}
        edits.append(write_shard(tmp_path, cell, row, [edit("a")], method={"name": method}, **changes)[1])
    with pytest.raises(UserError, match=f"differ in {name}"):
        tabulate(records, edits, tmp_path / "tables", STATISTICS)
    assert not (tmp_path / "tables").exists()
