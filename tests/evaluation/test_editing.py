from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from baft.benchmarks.embedded import EMBEDDED, build
from baft.benchmarks.records import Probe, Record
from baft.engine.budget import OutOfMemory, TokenBudget
from baft.engine.deltas import Delta
from baft.engine.engine import Engine
from baft.engine.state import EditState
from baft.errors import EditError, UserError
from baft.evaluation.editing import edit_step, request_of, weight_of, withheld_of
from baft.methods.base import Batches, Context, Method, Outcome, digest
from baft.methods.irrelevant import irrelevant_prompts
from baft.methods.registry import create
from baft.methods.settings._irrelevant import IrrelevantSettings
from tests.engine.tiny import PROMPTS, SUBJECTS, TARGETS

ALL = IrrelevantSettings(relations=1000, subjects=1000)
GROWING = {"layer": 1, "rank": 4, "grow": 2, "steps": 4, "lr": 5e-2, "general": 2, "relations": 1, "subjects": 0}
RECORD = Record("r", "France", "What do you think of France?", "Lovely.", ())


def test_an_edit_never_trains_on_what_it_is_judged_by() -> None:
    drawn = irrelevant_prompts(request_of(RECORD), ALL, seed=0)
    judged = (drawn[0], drawn[-1].upper() + " ")
    probes = tuple(Probe("locality", "", n, prompt, ("x",)) for n, prompt in enumerate(judged))
    # Whoever's probes they are: one model may hold both edits.
    other = replace(RECORD, id="other", subject="Peru", probes=probes)
    left = irrelevant_prompts(request_of(RECORD), ALL, 0, withheld_of([RECORD, other]))
    assert left == drawn[1:-1]


def test_what_is_withheld_tells_digests_of_probes_and_no_text() -> None:
    probe = Probe("locality", "neighbours", 0, "Berlin is", ("big",), ("small",))
    record = replace(RECORD, probes=(probe,))
    assert withheld_of([record, RECORD]) == {digest("Berlin is")}
    assert "Berlin" not in repr(request_of(record))


def test_no_embedded_record_has_a_probe_among_its_irrelevant_prompts() -> None:
    for name in EMBEDDED:
        records = build(name, "tune", None).records
        withheld = withheld_of(records)
        assert withheld == {digest(probe.prompt) for record in records for probe in record.probes}
        for record in records:
            drawn = irrelevant_prompts(request_of(record), ALL, 0, withheld)
            assert drawn
            assert not {digest(prompt) for prompt in drawn} & withheld


class Raising(Method):
    """Fine-tunes, and raises for a whole group of streams if one of them asks for what it cannot do."""

    def __init__(self, error: type[Exception], message: str = "no", inner: Method | None = None):
        super().__init__(None)
        self.error, self.message = error, message
        self.inner = inner or create("ft_l", {"layer": 1, "steps": 2, "lr": 1e-2, "bound": 5e-2})

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        if any(request.target == "bad" for batch in batches for request in batch):
            raise self.error(self.message)
        return self.inner.edit(engine, batches, state, context)


def batch(n: int, target: str | None = None) -> list[Record]:
    return [Record(f"r{n}", SUBJECTS[n], PROMPTS[n], target or TARGETS[n], ())]


def test_one_bad_edit_never_costs_another(tiny_llama: Engine) -> None:
    method, good = Raising(EditError), [batch(0), batch(2)]
    alone = edit_step(tiny_llama, method, good, None, Context())[0]
    outcome, cost = edit_step(tiny_llama, method, [good[0], batch(1, "bad"), good[1]], None, Context())
    assert [report.error for report in outcome.trainings] == [None, "no", None]
    assert outcome.state.streams == 3
    for site, delta in outcome.state.deltas.items():
        for name, tensor in delta.tensors().items():
            torch.testing.assert_close(tensor[[0, 2]], alone.state.deltas[site].tensors()[name], atol=1e-5, rtol=1e-4)
            assert not tensor[1].any()
    assert cost.seconds > 0


def test_a_stream_that_fails_later_stays_as_it_was(tiny_llama: Engine) -> None:
    method = Raising(EditError)
    first = edit_step(tiny_llama, method, [batch(0), batch(1)], None, Context())[0].state
    second = edit_step(tiny_llama, method, [batch(2), batch(3, "bad")], first, Context())[0].state
    for site, delta in second.deltas.items():
        for name, tensor in delta.tensors().items():
            assert torch.equal(tensor[1], first.deltas[site].tensors()[name][1])
            assert not torch.equal(tensor[0], first.deltas[site].tensors()[name][0])


@pytest.mark.parametrize("method", [Raising(EditError), Raising(EditError, inner=create("baft", GROWING))])
def test_a_stream_alone_that_fails_later_stays_as_it_was(method: Method, tiny_llama: Engine) -> None:
    first = edit_step(tiny_llama, method, [batch(0)], None, Context())[0].state
    outcome = edit_step(tiny_llama, method, [batch(3, "bad")], first, Context())[0]
    assert outcome.trainings[0].error == "no"
    assert outcome.state is first
    # Nor is it another's loss, where one of them has grown since.
    both = EditState.join([first, first])
    after = edit_step(tiny_llama, method, [batch(3, "bad"), batch(2)], both, Context())[0].state
    h = torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(0))
    for site, delta in after.deltas.items():
        before, streams = first.deltas[site], torch.arange(2)
        h = h[..., : input_width(before)]
        torch.testing.assert_close(delta.update(h, h, streams)[:1], before.update(h[:1], h[:1], torch.arange(1)))
        assert not torch.equal(delta.update(h, h, streams)[1:], before.update(h[1:], h[1:], torch.arange(1)))


def input_width(delta: Delta) -> int:
    """Of what enters the delta."""
    tensors = delta.tensors()
    return (tensors["rotation"] if "rotation" in tensors else tensors["change"]).shape[-1]


NO_ROOM = [
    Raising(RuntimeError, "CUDA out of memory"),
    Raising(MemoryError),
    Raising(OutOfMemory, "a single prompt does not fit"),
]


@pytest.mark.parametrize("method", NO_ROOM, ids=lambda method: method.error.__name__)
def test_memory_that_runs_out_is_an_edit_s_own_failure_only_where_it_is_alone(
    method: Method, tiny_llama: Engine
) -> None:
    # The caller halves its batch and tries again.
    with pytest.raises(method.error):  # type: ignore[attr-defined]
        edit_step(tiny_llama, method, [batch(0), batch(1, "bad")], None, Context())
    alone = edit_step(tiny_llama, method, [batch(1, "bad")], None, Context())[0]
    assert "out of memory" in str(alone.trainings[0].error)


def test_a_budget_halves_down_to_the_edit_that_does_not_fit(tiny_llama: Engine) -> None:
    batches = [batch(0), batch(1, "bad"), batch(2)]
    # A budget of its own: the engine is every test's.
    done = TokenBudget(512).run(
        batches, lambda b: 1, lambda part: edit_step(tiny_llama, NO_ROOM[0], part, None, Context())[0]
    )
    errors = [report.error is not None for outcome in done for report in outcome.trainings]
    assert errors == [False, True, False]


@pytest.mark.parametrize("error", [UserError, RuntimeError, ValueError, AssertionError, KeyError])
@pytest.mark.parametrize("count", [1, 2])
def test_a_mistake_or_a_fault_of_the_program_is_no_failed_edit(
    error: type[Exception], count: int, tiny_llama: Engine
) -> None:
    with pytest.raises(error):
        edit_step(tiny_llama, Raising(error), [batch(0, "bad"), batch(1)][:count], None, Context())


def test_an_edit_that_is_too_long_is_reported_and_costs_no_other(tiny_llama: Engine) -> None:
    long = [Record("long", "", "very " * 600, "long", ())]
    outcome = edit_step(tiny_llama, Raising(EditError), [long, batch(0)], None, Context())[0]
    assert "reads at most" in str(outcome.trainings[0].error)
    assert outcome.trainings[1].error is None
    assert weight_of(tiny_llama, Raising(EditError), batch(0), Context()) > 1
