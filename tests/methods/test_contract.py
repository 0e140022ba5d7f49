"""What every method must hold, whichever it is: the methods are found, and each supplies settings for a tiny model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import get_type_hints

import pytest
import torch
from torch import Tensor

from baft.config.method_files import settings_class
from baft.config.methods import method_settings, sections_of
from baft.engine.asking import Decoding, Question
from baft.engine.engine import Engine
from baft.engine.frozen import Reads
from baft.engine.parts import Part, tensor_fields
from baft.engine.preambles import Query
from baft.engine.rows import Row, collate
from baft.engine.saved import load_state, save_state
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.evaluation.search import Search
from baft.methods.base import Context, Method, Outcome, Request
from baft.methods.registry import create, load_method, methods
from baft.methods.settings import MethodSettings, OneOf
from tests.engine.tiny import PROMPTS, SUBJECTS, TARGETS, engine

KINDS = ("llama", "gpt2", "gemma")
# Those of the package, and the files that a user names.
NAMES = [*sorted(methods()), *filter(None, os.environ.get("BAFT_METHODS", "").split(os.pathsep))]
EDITING = [name for name in NAMES if load_method(name).edits]
REQUESTS = [
    Request(f"r{number}", prompt, target, subject)
    for number, (prompt, target, subject) in enumerate(zip(PROMPTS, TARGETS, SUBJECTS, strict=True))
]
ENDLESS = Request("endless", "France " * 600, "Rome", "France")


def made(name: str) -> Method:
    return create(name, settings_class(name).tiny())


def context_of(tiny: Engine, settings: MethodSettings) -> Context:
    """What the method says that it needs: here random covariances of full rank."""
    covariances = {}
    for layer in settings.needs().covariances:
        site = Site(tiny.model.layer(layer), tiny.model.architecture.mlp_down)
        width = tiny.model.widths(site)[0]
        keys = torch.randn(4 * width, width, generator=torch.Generator().manual_seed(site.layer), dtype=torch.float64)
        covariances[site] = keys.mT @ keys / len(keys)
    return Context(0, covariances)


def fit(tiny: Engine, name: str, batches: Sequence[Sequence[Request]], state: EditState | None = None) -> Outcome:
    method = made(name)
    context = context_of(tiny, method.settings)
    method.check(tiny, context)
    return method.fit(tiny, batches, state, context)


def asked(tiny: Engine, state: EditState | None, pairs: Sequence[tuple[int, Request]]) -> list[Question]:
    """A question for each pair of a stream and a request, which it is about."""
    openings = tiny.openings(state, [Query(s, r.prompt, r.id) for s, r in pairs])
    text = tiny.text
    return [
        Question(s, tuple(text.prompt(opening + r.prompt)), (tuple(text.answer(r.prompt, r.target)), (5, 6, 7)))
        for (s, r), opening in zip(pairs, openings, strict=True)
    ]


def answers(tiny: Engine, state: EditState | None, streams: Sequence[int]) -> Tensor:
    """Log-probabilities of two answers to every prompt, by stream, and the tokens decoded."""
    questions = asked(tiny, state, [(s, r) for s in streams for r in REQUESTS])
    replies = tiny.ask(state, questions, Decoding(1, ()))
    return torch.tensor([[sum(f.logprob) for f in reply.forced] for reply in replies], dtype=torch.float64)


def equal(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, atol=1e-7, rtol=1e-7)


@pytest.fixture(params=KINDS)
def tiny(request: pytest.FixtureRequest) -> Engine:
    return engine(request.param, torch.float64)


def test_every_method_of_the_package_has_a_title_and_a_family_of_its_own() -> None:
    kinds = {name: settings_class(name) for name in methods()}
    assert all(kind.title for kind in kinds.values())
    assert len({kind.title for kind in kinds.values()}) == len(kinds)
    assert [name for name, kind in kinds.items() if kind.family == "others"] == ["foreign"]
    assert {name for name, kind in kinds.items() if kind.family == "reference"} == {"none", "zero"}


@pytest.mark.parametrize("name", EDITING)
def test_what_a_method_draws_does_not_depend_on_the_default_dtype_of_torch(name: str) -> None:
    """A program that edits may have set it, and the same seed must give the same edit there."""
    tiny = engine("llama", torch.float64)
    expected = answers(tiny, fit(tiny, name, [REQUESTS[:1]]).state, [0])
    torch.set_default_dtype(torch.float64)
    try:
        found = answers(tiny, fit(tiny, name, [REQUESTS[:1]]).state, [0])
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def starts(name: str) -> list[MethodSettings]:
    """What a search of a method's settings may begin with: its defaults, and what it has for each known model."""
    if name == "foreign":
        return [settings_class(name).tiny()]
    return [method_settings(name), *(method_settings(name, known) for known in sections_of(name))]


@pytest.mark.parametrize("name", NAMES)
def test_settings_that_a_search_may_try_are_allowed_and_what_it_begins_with_is_among_them(name: str) -> None:
    """One setting at each end of its range, and many at random; layers as those of a model of 32 blocks."""
    for start in starts(name):
        space = {
            setting: one.around(
                getattr(start, setting), lambda place: place if isinstance(place, int) else int(place * 32)
            )
            for setting, one in start.ranges.items()
        }
        for setting, one in space.items():
            assert {setting, *one.also} <= set(type(start).model_fields)
            ends = one.values if isinstance(one, OneOf) else (one.low, one.high)
            assert len(set(ends)) > 1, f"{setting} has nothing to search"
            for value in ends:
                settings_class(name).model_validate(dict(start) | dict.fromkeys((setting, *one.also), value))
        search = Search(space, dict(start), 0)
        with warnings.catch_warnings():
            # Of a start that is in no range.
            warnings.simplefilter("error")
            assert search.ask() == dict(start) | {setting: one.start for setting, one in space.items()}
        search.tell(0.5)
        for number in range(12):
            settings_class(name).model_validate(search.ask())
            search.tell(number % 3)


def test_every_method_that_trains_something_can_be_tuned() -> None:
    searchable = {name for name in methods() if settings_class(name).ranges}
    assert set(methods()) - searchable == {"none", "zero", "foreign"}
    assert all(2 <= len(settings_class(name).ranges) <= 5 for name in searchable)


@pytest.mark.parametrize("name", NAMES)
def test_many_streams_are_what_each_is_alone(name: str, tiny: Engine) -> None:
    batches = [[REQUESTS[0]], [REQUESTS[1], REQUESTS[2]], [REQUESTS[3]], [REQUESTS[4], REQUESTS[5], REQUESTS[6]]]
    together = fit(tiny, name, batches)
    for s, batch in enumerate(batches):
        alone = fit(tiny, name, [batch])
        assert alone.trainings[0].error is None
        assert together.trainings[s].steps == alone.trainings[0].steps
        assert together.counts()[s] == alone.counts()[0]
        equal(answers(tiny, together.state, [s]), answers(tiny, alone.state, [0]))


@pytest.mark.parametrize("name", EDITING)
def test_an_edit_changes_its_own_stream_and_no_other(name: str) -> None:
    tiny = engine("llama", torch.float64)
    outcome = fit(tiny, name, [[REQUESTS[0]], [REQUESTS[1]], [ENDLESS]])
    assert outcome.state.edited.tolist() == [True, True, False]
    plain = answers(tiny, None, [0])
    if name != "zero":
        assert not torch.allclose(answers(tiny, outcome.state, [0])[0], plain[0], atol=1e-3)
    # Bit for bit: a stream without an edit is the unedited model.
    assert torch.equal(answers(tiny, outcome.state, [2]), plain)


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_goes_on_from_what_was_saved(name: str, tmp_path: Path) -> None:
    tiny = engine("llama", torch.float64)
    first = fit(tiny, name, [[REQUESTS[0]], [REQUESTS[1], REQUESTS[2]]]).state
    save_state(first, tmp_path, {})
    loaded, _ = load_state(tmp_path, tiny.model)
    assert torch.equal(answers(tiny, loaded, [0, 1]), answers(tiny, first, [0, 1]))
    rest = [[REQUESTS[3]], [REQUESTS[4]]]
    assert torch.equal(
        answers(tiny, fit(tiny, name, rest, loaded).state, [0, 1]),
        answers(tiny, fit(tiny, name, rest, first).state, [0, 1]),
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_states_along_a_stream_stay_as_they_were_and_are_asked_side_by_side(name: str) -> None:
    tiny = engine("llama", torch.float64)
    states: list[EditState] = []
    alone = []
    for request in REQUESTS[:3]:
        states.append(fit(tiny, name, [[request]], states[-1] if states else None).state)
        alone.append(answers(tiny, states[-1], [0]))
    # The last edit has changed nothing of the states before it.
    assert torch.equal(answers(tiny, states[0], [0]), alone[0])
    joined = EditState.join([replace(state, memory={}) for state in states])
    equal(answers(tiny, joined, [0, 1, 2]), torch.cat(alone))


@pytest.mark.parametrize("name", NAMES)
def test_a_failed_edit_leaves_its_stream_as_it_was(name: str) -> None:
    tiny = engine("llama", torch.float64)
    first = fit(tiny, name, [[REQUESTS[0]], [REQUESTS[1]], [ENDLESS]])
    assert [report.error is None for report in first.trainings] == [True, True, False]
    second = fit(tiny, name, [[ENDLESS], [REQUESTS[2], ENDLESS], [REQUESTS[3]]], first.state)
    assert [report.error is None for report in second.trainings] == [False, True, True]
    assert second.trainings[1].failed.keys() == {"endless"}
    assert torch.equal(answers(tiny, second.state, [0]), answers(tiny, first.state, [0]))
    without = fit(tiny, name, [[REQUESTS[2]]], first.state.select([1]))
    equal(answers(tiny, second.state, [1]), answers(tiny, without.state, [0]))
    # A stream whose first edit failed begins like a new one.
    begun = fit(tiny, name, [[REQUESTS[3]]])
    equal(answers(tiny, second.state, [2]), answers(tiny, begun.state, [0]))
    assert second.counts() == [(0, 0), *without.counts(), *begun.counts()]


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_depends_on_the_prompt_and_the_stream_alone(name: str, tiny: Engine) -> None:
    # Not on the other answers, the rows beside it, or a cache: whatever an edit decides at the prompt stays.
    state = fit(tiny, name, [[REQUESTS[0], REQUESTS[1]], [REQUESTS[2], REQUESTS[3]]]).state
    pairs = [(s, r) for s in (0, 1) for r in REQUESTS[:5]]
    questions = asked(tiny, state, pairs)
    together = tiny.ask(state, questions, Decoding(5, ()))
    for question, reply in list(zip(questions, together, strict=True))[::3]:
        own, other = question.forced
        (alone,) = tiny.ask(state, [Question(question.stream, question.prompt, (own,))], Decoding(5, ()))
        assert alone.decoded == reply.decoded
        assert alone.forced[0].logprob == pytest.approx(reply.forced[0].logprob, abs=1e-7)
        for answer, forced in zip((own, other), reply.forced, strict=True):
            if state.models:
                # Somebody else's model is asked by its own forward anyway; tests/methods/test_foreign.py compares the two.
                continue
            row = Row.forced(question.stream, question.prompt, answer)
            at = torch.tensor([position for position, _ in row.reads])
            states = tiny.model.states(
                collate([row], tiny.model.device, tiny.pad), Reads(torch.zeros_like(at), at), state.deltas.items()
            )
            logprob = tiny.model.head(states).log_softmax(-1)[torch.arange(len(at)), torch.tensor(answer)]
            assert forced.logprob == pytest.approx(logprob.tolist(), abs=1e-7)


LOAD = """
import json, sys, torch
from pathlib import Path
from baft.engine.saved import load_state
from tests.engine.tiny import engine
from tests.methods.asking import answers  # no method is imported here
tiny = engine("llama", torch.float64)
found = {f.name: answers(tiny, load_state(f, tiny.model)[0]) for f in Path(sys.argv[1]).iterdir()}
print(json.dumps(found))
"""


def test_every_edit_is_loaded_in_a_fresh_process(tmp_path: Path) -> None:
    from tests.methods.asking import answers as said

    tiny = engine("llama", torch.float64)
    expected = {}
    for name in methods():
        state = fit(tiny, name, [[REQUESTS[0]], [REQUESTS[1], REQUESTS[2]]]).state
        save_state(state, tmp_path / name, {})
        expected[name] = said(tiny, state)
    done = subprocess.run([sys.executable, "-c", LOAD, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == expected


def test_every_kind_of_part_states_its_shapes() -> None:
    # A saved edit is checked against them. Those of tests and of users are not in the package.
    def kinds(of: type[Part]) -> list[type[Part]]:
        return [of, *(k for sub in of.__subclasses__() for k in kinds(sub))]

    package = [kind for kind in kinds(Part) if kind.__module__.startswith("baft.")]
    assert len(package) > 8
    for kind in package:
        assert set(kind.shapes) == set(tensor_fields(kind)), kind
        assert all(shape.split()[0] == "S" for shape in kind.shapes.values()), kind
        assert {f.name for f in fields(kind)} <= get_type_hints(kind).keys()
