from __future__ import annotations

import math

import pytest
import torch

from baft.benchmarks.records import Probe, Record
from baft.config import EvaluationConfig
from baft.engine.deltas import Dense
from baft.engine.engine import Engine
from baft.engine.positions import Everywhere
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.evaluation.metrics import (
    MEASURED,
    NO_NUMBERS,
    Asked,
    Measured,
    failed,
    measure,
    measure_unedited,
    sentiment,
)
from baft.results.schema import PROBES, RUINED
from tests.engine.test_deciding import routed
from tests.engine.tiny import PROMPTS

EVALUATION = EvaluationConfig(max_new_tokens=4, fluency_tokens=5)


def ask(*probes: Probe) -> list[Asked]:
    record = Record("r", "", PROMPTS[0], "Rome", probes)
    return [Asked(0, record, probe) for probe in probes]


UNEDITED = EditState(1)


def change(engine: Engine, fill: float | None = None) -> EditState:
    site = Site(1, engine.model.architecture.mlp_down)
    wide, tall = engine.model.widths(site)
    noise = torch.randn(1, tall, wide, generator=torch.Generator().manual_seed(1))
    return EditState(1, {site: Dense(Everywhere(), noise if fill is None else torch.full_like(noise, fill))})


ALL = ask(
    Probe("reliability", "", 0, PROMPTS[0], ("Rome", "Roma"), ("Paris",)),
    Probe("locality", "near", 0, PROMPTS[1], ("Warsaw",), ("Rome",)),
    Probe("locality", "far", 0, PROMPTS[2], ("French",)),
    Probe("sentiment", "", 0, PROMPTS[3], ("big", "a very fine city"), ("small", "an awful place to be", "Rome")),
    Probe("fluency", "", 0, PROMPTS[4], ()),
)


def test_every_column_is_one_of_the_schema(tiny_llama: Engine) -> None:
    before = measure_unedited(tiny_llama, ALL, EVALUATION)
    stored = {a.key: m for a, m in zip(ALL, before, strict=True)}
    for state in (UNEDITED, change(tiny_llama)):
        for row in measure(tiny_llama, state, ALL, EVALUATION, stored):
            assert set(row) <= set(PROBES.names)
    assert all(set(m.columns) <= set(MEASURED) for m in before)
    assert [m.states is not None for m in before] == [False, True, True, False, False]


@pytest.mark.parametrize(
    ("wanted", "opposite", "before", "expected"),
    [
        (-1.0, -1.0, -1.0, 0.5),
        (-1.0, -2.0, -3.0, 1 / (1 + math.exp(-1))),
        (-3.0, -4.0, -1.0, math.exp(-2) / (1 + math.exp(-1))),
        (-1.0, -5000.0, -1.0, 1.0),
        (-5000.0, -1.0, -1.0, 0.0),
    ],
)  # fmt: skip
def test_sentiment_is_the_preference_held_to_what_was_likely(
    wanted: float, opposite: float, before: float, expected: float
) -> None:
    assert sentiment(wanted, opposite, before) == pytest.approx(expected)


def test_sentiment_pools_the_tokens_of_all_replies(tiny_llama: Engine) -> None:
    prompt, answers = tiny_llama.text.prompt(PROMPTS[3]), ALL[3].probe.answers
    values: list[float] = []
    for answer in answers:
        own = tiny_llama.text.answer(PROMPTS[3], answer)
        with torch.no_grad():
            logprobs = tiny_llama.model.model(torch.tensor([[*prompt, *own]])).logits[0].log_softmax(-1)
        values += [float(logprobs[len(prompt) - 1 + k, token]) for k, token in enumerate(own)]
    found = measure_unedited(tiny_llama, ALL[3:4], EVALUATION)[0].columns
    assert found["logprob_after"] == pytest.approx(sum(values) / len(values), abs=1e-4)


def test_a_stop_string_cuts_no_accepted_answer(tiny_llama: Engine) -> None:
    # The random model's own words, with a letter of theirs as the stop string.
    kinds = ("reliability", "locality")
    plain = [Probe(kind, "", 0, PROMPTS[0], ("Rome",)) for kind in kinds]  # type: ignore[arg-type]
    long = EvaluationConfig(max_new_tokens=12, stop=())
    said = str(measure_unedited(tiny_llama, ask(plain[0]), long)[0].columns["decoded"])
    stop = said[len(said) // 2]
    cut = EvaluationConfig(max_new_tokens=12, stop=(stop,))
    for probe, whole in zip(plain, (True, False), strict=True):
        right = Probe(probe.kind, "", 0, probe.prompt, ("Rome", said))
        columns = measure_unedited(tiny_llama, ask(right), cut)[0].columns
        assert (columns["decoded"] == said) is whole
        assert len(measure_unedited(tiny_llama, ask(probe), cut)[0].columns["decoded"]) < len(said)


def test_a_probe_that_is_too_long_is_reported_and_costs_no_other(tiny_llama: Engine) -> None:
    long = Probe("locality", "", 0, "very " * 600, ("long",))
    asked = ask(long, *(a.probe for a in ALL))
    before = measure_unedited(tiny_llama, asked, EVALUATION)
    stored = {a.key: m for a, m in zip(asked, before, strict=True)}
    rows = measure(tiny_llama, change(tiny_llama), asked, EVALUATION, stored)
    assert "reads at most" in rows[0]["error"]
    assert measure(tiny_llama, UNEDITED, asked, EVALUATION, stored)[0] == rows[0]
    assert rows[1:] == measure(tiny_llama, change(tiny_llama), asked[1:], EVALUATION, stored)


def test_tokens_to_be_decoded_count_as_length(tiny_llama: Engine) -> None:
    most = tiny_llama.model.model.config.max_position_embeddings
    probe = Probe("fluency", "", 0, PROMPTS[0], ())
    found = measure_unedited(tiny_llama, ask(probe), EvaluationConfig(fluency_tokens=most))
    assert "reads at most" in found[0].columns["error"]


def test_without_tokens_for_fluency_nothing_is_sampled(tiny_llama: Engine) -> None:
    off = EvaluationConfig(max_new_tokens=4, fluency_tokens=0)
    before = measure_unedited(tiny_llama, ALL[4:], off)
    assert before[0].columns == {}
    row = measure(tiny_llama, change(tiny_llama), ALL[4:], off, {ALL[4].key: before[0]})[0]
    assert all(value is None for value in row.values())


def test_a_model_that_gives_no_numbers_is_an_error_and_no_score(tiny_llama: Engine) -> None:
    before = {a.key: m for a, m in zip(ALL, measure_unedited(tiny_llama, ALL, EVALUATION), strict=True)}
    rows = measure(tiny_llama, change(tiny_llama, math.nan), ALL, EVALUATION, before)
    assert {row["error"] for row in rows} == {RUINED}
    assert all(row.get(name) is None for row in rows for name in ("token_accuracy", "agreement", "kl", "fluency"))
    assert rows[0]["logprob_before"] == before[ALL[0].key].columns["logprob_after"]


def test_what_the_unedited_model_cannot_answer_measures_no_edit(tiny_llama: Engine) -> None:
    nothing = Measured({"error": NO_NUMBERS})
    before = {a.key: m for a, m in zip(ALL, measure_unedited(tiny_llama, ALL, EVALUATION), strict=True)}
    before[ALL[0].key] = nothing
    for state in (UNEDITED, change(tiny_llama)):
        rows = measure(tiny_llama, state, ALL[:2], EVALUATION, before)
        assert [row.get("error") for row in rows] == [NO_NUMBERS, None]
    assert failed("the loss is NaN", nothing)["error"] == NO_NUMBERS


def test_a_model_that_gives_no_numbers_is_seen_where_nothing_is_forced(tiny_llama: Engine) -> None:
    bare = ask(Probe("locality", "", 0, PROMPTS[1], ()))
    before = {a.key: m for a, m in zip(bare, measure_unedited(tiny_llama, bare, EVALUATION), strict=True)}
    assert before[bare[0].key].columns["token_accuracy"] is None
    assert measure(tiny_llama, change(tiny_llama, math.nan), bare, EVALUATION, before)[0]["error"] == RUINED
    assert "error" not in measure(tiny_llama, change(tiny_llama), bare, EVALUATION, before)[0]


def test_a_failed_edit_keeps_what_the_unedited_model_gave(tiny_llama: Engine) -> None:
    before = measure_unedited(tiny_llama, ALL[:1], EVALUATION)[0]
    assert failed("why", before) == {
        "error": "why",
        "logprob_before": before.columns["logprob_after"],
        "contrast_logprob_before": before.columns["contrast_logprob_after"],
    }


def test_a_probe_on_which_no_edit_acts_has_the_unedited_models_reply(
    tiny_llama: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = {a.key: m for a, m in zip(ALL, measure_unedited(tiny_llama, ALL, EVALUATION), strict=True)}
    state = routed(tiny_llama, PROMPTS[:1])
    found = measure(tiny_llama, state, ALL, EVALUATION, stored)
    monkeypatch.setattr(Engine, "untouched", lambda self, state, queries: [False] * len(queries))
    everywhere = measure(tiny_llama, state, ALL, EVALUATION, stored)
    assert found[0]["logprob_after"] != found[0]["logprob_before"]
    for row, asked in zip(found, everywhere, strict=True):
        assert set(row) == set(asked)
        for name, value in row.items():
            assert value == (pytest.approx(asked[name], abs=1e-5) if isinstance(value, float) else asked[name])
    assert found[1]["kl"] == 0.0 and found[1]["agreement"] == 1.0
