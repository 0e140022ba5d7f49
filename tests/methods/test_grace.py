"""GRACE: its decision table by hand, and what a codebook leaves alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from baft.engine.asking import Decoding, Question
from baft.engine.engine import Engine
from baft.engine.positions import Everywhere, PromptEnds
from baft.engine.rows import Batch, Row, collate
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.methods.base import Context, Request
from baft.methods.grace import Book, Codebook, Grace, _at_prompt_end
from baft.methods.radii import distances, rounding
from baft.methods.registry import create
from tests.engine.tiny import PROMPTS, SUBJECTS, TARGETS, engine

A, B = 1.0, 2.0
HERE, THERE = 7.0, 8.0
"""Numbers of two prompts."""
REQUESTS = [
    Request(f"r{n}", prompt, target, subject)
    for n, (prompt, target, subject) in enumerate(zip(PROMPTS, TARGETS, SUBJECTS, strict=True))
]


def at(position: float) -> torch.Tensor:
    return torch.tensor([position, 0.0], dtype=torch.float64)


def book(**more: str) -> Book:
    """One key at 0 with label A and radius 1."""
    made = Book(1.0, **more)
    assert made.place(at(0), HERE, A, at(10)) == 0
    return made


def entry(made: Book, query: torch.Tensor) -> int:
    """The entry that a query gets."""
    delta = Codebook(
        PromptEnds(0, 1),
        "prompt",
        torch.stack(made.keys)[None],
        torch.stack(made.values)[None],
        torch.tensor([made.radii], dtype=query.dtype),
        torch.ones(1, len(made.keys), dtype=torch.bool),
    )
    return int(delta._nearest(query[None], 0))


def test_a_query_with_the_same_label_widens_the_radius() -> None:
    made = book()
    assert made.place(at(1.5), THERE, A, at(20)) == 0
    assert made.radii == [1.5]
    assert torch.equal(made.keys[0], at(0)) and torch.equal(made.values[0], at(10))
    # Coverage never shrinks.
    assert made.place(at(0.5), THERE, A, at(20)) == 0
    assert made.radii == [1.5]


def test_a_query_with_another_label_splits_the_distance() -> None:
    made = book()
    assert made.place(at(1.5), THERE, B, at(20)) == 1
    assert made.radii == [pytest.approx(0.74999, abs=1e-12), 0.75]
    # Each side of the middle, and beyond both.
    assert [entry(made, at(x)) for x in (0.7, 0.8, 2.3)] == [0, 1, -1]


def test_a_far_query_is_a_new_key_whatever_it_says() -> None:
    for label in (A, B):
        made = book()
        assert made.place(at(2.5), THERE, label, at(20)) == 1
        assert made.radii == [1.0, 1.0]


def test_a_key_that_moves_with_what_it_covers() -> None:
    made = book(expand="moving_average")
    assert made.place(at(1.5), THERE, A, at(20)) == 0
    assert torch.equal(made.keys[0], at(0.75))


def test_the_newest_of_keys_at_one_distance_counts() -> None:
    made = Book(1.0, keys=[at(0), at(2)], values=[at(1), at(2)], radii=[1.0, 1.0], labels=[A, A], prompts=[HERE, 9.0])
    assert entry(made, at(1.0)) == 1
    assert made.place(at(1.0), THERE, A, at(5)) == 1


def test_an_edit_of_the_same_prompt_takes_the_key_over() -> None:
    # By the published rule both keys would have a radius of about 0, and rounding would decide whether either is found.
    made = book()
    assert made.place(at(0.1), HERE, B, at(30)) == 0
    assert made.labels == [B] and made.radii == [1.0] and torch.equal(made.values[0], at(30))
    # Where rounding or another way of writing it has moved its key, that is the prompt's key now.
    assert torch.equal(made.keys[0], at(0.1))


def test_two_prompts_in_one_place_are_two_edits() -> None:
    made = book()
    assert made.place(at(1e-4), THERE, B, at(30)) == 1
    assert made.prompts == [HERE, THERE]


def test_a_codebook_acts_at_its_positions_alone() -> None:
    row = Row(0, (1, 2, 3, 4, 5), 3)
    batch: Batch = collate([row], torch.device("cpu"), 0)
    x, y = torch.zeros(1, 5, 2), torch.randn(1, 5, 2)
    from baft.engine.rows import Grouping

    delta = Codebook(
        PromptEnds(0, 1), "prompt", torch.zeros(1, 1, 2), torch.ones(1, 1, 2), torch.ones(1, 1), torch.ones(1, 1) > 0
    )
    decision = torch.tensor([0])
    edited = delta.apply(x, y, batch, Grouping(batch.stream), decision)
    assert torch.equal(edited[:, 2], torch.ones(1, 2))
    assert torch.equal(edited[:, [0, 1, 3, 4]], y[:, [0, 1, 3, 4]])
    everywhere = Codebook(Everywhere(), "prompt", *delta.tensors().values())
    assert torch.equal(everywhere.apply(x, y, batch, Grouping(batch.stream), decision), torch.ones(1, 5, 2))
    assert delta.apply(x, y, batch, Grouping(batch.stream), torch.tensor([-1])) is y


def test_distances_of_equal_vectors_are_zero() -> None:
    # By a matrix product they would be what is left of two large squares.
    keys = 1e3 * torch.randn(40, 64, generator=torch.Generator().manual_seed(0))
    found = distances(keys, keys)
    assert not found.diagonal().any()
    torch.testing.assert_close(found, (keys[:, None].double() - keys).norm(dim=-1).float())


def edited(tiny: Engine, requests: Sequence[Request], **settings: object) -> EditState:
    given = {"layer": 1, "steps": 60, "lr": 0.3, "radius": 1e-3, **settings}
    method = create("grace", given)
    assert isinstance(method, Grace)
    outcome = method.fit(tiny, [requests], None, Context(0))
    assert outcome.trainings[0].error is None
    return outcome.state


def said(tiny: Engine, state: EditState | None, prompts: Sequence[str]) -> list[str]:
    questions = [Question(0, tuple(tiny.text.prompt(prompt))) for prompt in prompts]
    return [reply.decoded for reply in tiny.ask(state, questions, Decoding(8, ()))]


@pytest.mark.parametrize("replace", ["last", "all"])
def test_edits_are_learnt_and_far_prompts_are_left_alone_bit_for_bit(replace: str) -> None:
    tiny = engine("llama")
    state = edited(tiny, REQUESTS[:3], replace=replace)
    for request in REQUESTS[:3]:
        target = tuple(tiny.text.answer(request.prompt, request.target))
        question = Question(0, tuple(tiny.text.prompt(request.prompt)), (target,))
        (after,), (before,) = (tiny.ask(s, [question], Decoding(0)) for s in (state, None))
        assert sum(after.forced[0].logprob) > sum(before.forced[0].logprob) + 1
    far = [r.prompt for r in REQUESTS[3:]]
    assert said(tiny, state, far) == said(tiny, None, far)
    questions = [Question(0, tuple(tiny.text.prompt(p)), ((5, 6),)) for p in far]
    assert tiny.ask(state, questions, Decoding(0)) == tiny.ask(None, questions, Decoding(0))


def test_a_prompt_with_nothing_before_its_last_token_is_refused() -> None:
    tiny = engine("llama")
    method = create("grace", {"layer": 1, "steps": 2, "replace": "before"})
    (report,) = method.fit(tiny, [[Request("short", "a", "Rome"), REQUESTS[0]]], None, Context()).trainings
    assert report.error is None
    assert report.failed == {"short": "its prompt is one token, and 'replace: before' replaces what is before the last"}


def test_the_trained_value_is_what_is_used() -> None:
    # The loss at the last step is the negative log-probability that the edited model gives.
    tiny = engine("llama", torch.float64)
    method = create("grace", {"layer": 1, "steps": 12, "lr": 0.3, "radius": 1e-3})
    outcome = method.fit(tiny, [[REQUESTS[0]]], None, Context(0))
    target = tuple(tiny.text.answer(REQUESTS[0].prompt, REQUESTS[0].target))
    question = Question(0, tuple(tiny.text.prompt(REQUESTS[0].prompt)), (target,))
    (reply,) = tiny.ask(outcome.state, [question], Decoding(0))
    mean = -sum(reply.forced[0].logprob) / len(target)
    assert outcome.trainings[0].loss == pytest.approx(mean, abs=1e-9)


def test_a_later_edit_of_the_same_prompt_is_the_one_that_is_found() -> None:
    tiny = engine("llama", torch.float64)
    again = Request("again", REQUESTS[0].prompt, "a poet", REQUESTS[0].subject)
    state = edited(tiny, [REQUESTS[0], again], steps=150)
    site = Site(1, tiny.model.architecture.mlp_down)
    delta = state.deltas[site]
    assert isinstance(delta, Codebook) and delta.there.sum() == 1
    question = [
        Question(0, tuple(tiny.text.prompt(again.prompt)), (tuple(tiny.text.answer(again.prompt, t)),))
        for t in ("a poet", REQUESTS[0].target)
    ]
    new, old = (sum(reply.forced[0].logprob) for reply in tiny.ask(state, question, Decoding(0)))
    assert new > old


def test_numbers_are_counted() -> None:
    tiny = engine("llama")
    outcome = create("grace", {"layer": 1, "steps": 2, "radius": 1e-3}).fit(tiny, [REQUESTS[:3]], None, Context())
    assert (outcome.trained, outcome.changed) == (32, 0)
    # Of three edits a key, a value and a radius each.
    assert outcome.state.stored() == [3 * (48 + 32 + 1)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_an_edit_that_widens_a_radius_is_found_though_rounding_moves_its_key(dtype: torch.dtype) -> None:
    tiny = engine("llama", dtype)
    site = tiny.model.mlp_output(1)
    beside, _ = _at_prompt_end(tiny, site, REQUESTS)
    alone = torch.cat([_at_prompt_end(tiny, site, [request])[0] for request in REQUESTS])
    for first in beside:
        for own, asked in zip(beside, alone, strict=True):
            made = Book(0.7 * float((own - first).norm()), rounding=rounding(tiny))
            assert [made.place(key, number, A, key) for key, number in ((first, HERE), (own, THERE))] == [0, 0]
            assert entry(made, asked) == 0


def test_in_bfloat16_an_edit_of_the_same_prompt_takes_the_key_over_beside_other_streams() -> None:
    # What stands beside a prompt moves its key by more than a thousandth of its length there.
    tiny = engine("llama", torch.bfloat16)
    method = create("grace", {"layer": 1, "steps": 1, "radius": 1e-3})
    firsts = [[Request(f"a{n}", prompt, "Bucharest")] for n, prompt in enumerate(PROMPTS)]
    alone = [method.fit(tiny, [batch], None, Context()).state for batch in firsts]
    again = [[Request(f"b{n}", prompt, "Rome")] for n, prompt in enumerate(PROMPTS)]
    (delta,) = method.fit(tiny, again, EditState.join(alone), Context()).state.deltas.values()
    assert isinstance(delta, Codebook)
    assert delta.there.sum(1).tolist() == [1] * len(PROMPTS)


@pytest.mark.parametrize(("match", "same"), [("tokens", False), ("mean", True)])
def test_when_two_targets_are_the_same(match: str, same: bool) -> None:
    # Equal means of other tokens, behind prompts of one length: as published they count as one target.
    tiny = engine("llama")
    method = create("grace", {"label_match": match})
    assert isinstance(method, Grace)
    ids = {"x": [5, 9], "y": [6, 8]}

    class Told:
        def __init__(self) -> None:
            self.text = self

        def answer(self, prompt: str, target: str) -> list[int]:
            return ids[target]

        def prompt(self, prompt: str) -> list[int]:
            return [1, 2, 3]

    one, other = (method._label(Told(), Request("r", "p", target)) for target in ("x", "y"))  # type: ignore[arg-type]
    assert (one == other) is same
    assert method._label(tiny, REQUESTS[0]) == method._label(tiny, REQUESTS[0])
