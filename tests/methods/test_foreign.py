"""Editors as outsiders write them, scored by the edited model's own forward, beside the project's own methods."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import baft
from baft.benchmarks.records import Probe, Record
from baft.config import EvaluationConfig, ProtocolConfig, parse_study, source_digest, sources_of
from baft.config.method_files import settings_class
from baft.config.plan import Plan
from baft.engine.deltas import Dense, Subspace
from baft.engine.engine import Engine
from baft.engine.own_models import OwnModel
from baft.engine.positions import Everywhere, PromptEnds
from baft.engine.saved import load_state, save_state
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError
from baft.evaluation.drift import perplexity_ratios, unedited_nlls
from baft.evaluation.metrics import Asked, Columns, measure, measure_unedited
from baft.methods.base import Context, Method, Request
from baft.methods.foreign import Foreign
from baft.methods.registry import create
from baft.methods.rome import Rome
from tests.engine.tiny import PROMPTS, SUBJECTS, TARGETS, engine
from tests.evaluation import test_streams
from tests.evaluation.test_streams import RECORDS, Job, Killed

EDITORS = Path(__file__).parent / "editors"
EVALUATION = EvaluationConfig(max_new_tokens=3, fluency_tokens=6)
REQUESTS = [Request(f"r{n}", *three) for n, three in enumerate(zip(PROMPTS, TARGETS, SUBJECTS, strict=True))]
SITE = Site(1, "mlp.down_proj")

FIT = {"layer": 1, "steps": 5, "lr": 1e-2, "bound": 2e-2}
ROME = {"layer": 1, "steps": 6, "lr": 0.1, "kl": 0.0625, "decay": 1e-3, "clamp": 4.0, "tolerance": 0.0}
STEER = {"layer": 1, "steps": 4, "lr": 5e-2}
LORA = {"rank": 2, "alpha": 12.0, "steps": 4, "lr": 1e-2}
REFT = {"layer": 1, "rank": 4, "steps": 4, "lr": 2e-2}


def theirs(name: str, arguments: dict[str, Any], **more: Any) -> Method:
    return create("foreign", {"editor": str(EDITORS / f"{name}.py"), "arguments": arguments, **more})


def written(folder: Path, code: str, arguments: dict[str, Any] | None = None) -> Method:
    """An editor with this code."""
    (folder / "editor.py").write_text(code)
    return create("foreign", {"editor": str(folder / "editor.py"), "arguments": arguments or {}})


def records() -> list[Record]:
    """Each with a probe of every kind."""
    found = []
    for n, (prompt, target, subject) in enumerate(zip(PROMPTS[:4], TARGETS, SUBJECTS, strict=False)):
        other = PROMPTS[(n + 3) % len(PROMPTS)]
        probes = (
            Probe("reliability", "", 0, prompt, (target, "Lyon"), ("Lyon",)),
            Probe("generality", "", 0, f"So: {prompt}", (target,)),
            Probe("locality", "near", 0, other, (TARGETS[-1 - n],), (target,)),
            Probe("locality", "near", 1, "The author of", ()),
            Probe("sentiment", "", 0, other, ("a poet",), ("Rome", "Asia")),
            Probe("fluency", "", 0, other, ()),
        )
        found.append(Record(f"r{n}", subject, prompt, target, probes))
    return found


def rows_of(tiny: Engine, state: EditState) -> list[Columns]:
    """What every probe of every record comes to in each stream."""
    asked = [Asked(s, record, probe) for s in range(state.streams) for record in records() for probe in record.probes]
    before = {a.key: m for a, m in zip(asked, measure_unedited(tiny, asked, EVALUATION), strict=True)}
    return measure(tiny, state, asked, EVALUATION, before)


def alike(found: Sequence[Columns], expected: Sequence[Columns], tolerance: float) -> None:
    """The same texts, and numbers to rounding."""
    assert len(found) == len(expected)
    for row, other in zip(found, expected, strict=True):
        assert row.keys() == other.keys()
        for name, value in row.items():
            if isinstance(value, float):
                assert value == pytest.approx(other[name], abs=tolerance), (name, row, other)
            else:
                assert value == other[name], name


def fitted(tiny: Engine, method: Method, *batches: Sequence[Sequence[Request]]) -> EditState:
    """The state after batches of several streams, step by step."""
    context, state = Context(), None
    method.check(tiny, context)
    for step in batches:
        outcome = method.fit(tiny, step, state, context)
        assert [report.error for report in outcome.trainings] == [None] * len(step)
        state = outcome.state
    assert state is not None
    return state


TWO_STEPS = [[[REQUESTS[0]], [REQUESTS[1], REQUESTS[2]]], [[REQUESTS[3]], [REQUESTS[4]]]]


def difference(tiny: Engine, own: OwnModel | None) -> Tensor:
    """Of the edited layer's weights."""
    assert own is not None and own.changed is not None and len(own.changed) == 1
    (changed,) = own.changed.values()
    before = tiny.model.module(SITE).weight
    assert isinstance(before, Tensor)
    return changed - before


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2"])
def test_a_model_that_comes_back_as_it_went_is_scored_as_the_unedited_one(kind: str) -> None:
    tiny = engine(kind)
    state = fitted(tiny, theirs("unedited", {}), [[REQUESTS[0]], [REQUESTS[1]]])
    rows = rows_of(tiny, state)
    alike(rows, rows_of(tiny, EditState(2)), 2e-5)
    assert {row["agreement"] for row in rows if "agreement" in row} == {1.0}
    assert all(row["same_string"] for row in rows if "same_string" in row)
    ratios = perplexity_ratios(tiny, state, ["a", "b"], unedited_nlls(tiny), 64)
    assert ratios == pytest.approx([1.0, 1.0], abs=1e-5)


def test_scores_are_those_of_the_same_change_in_the_engine() -> None:
    tiny = engine("llama", torch.float64)
    state = fitted(tiny, theirs("fine_tuning", FIT), *TWO_STEPS)
    change = torch.stack([difference(tiny, own) for own in state.models])
    same = EditState(2, {SITE: Dense(Everywhere(), change)})
    rows = rows_of(tiny, state)
    alike(rows, rows_of(tiny, same), 1e-7)
    assert max(row["kl"] for row in rows if row.get("kl") is not None) > 1e-3
    assert not all(row["same_string"] for row in rows if "same_string" in row)
    nlls = unedited_nlls(tiny)
    ratios = [perplexity_ratios(tiny, one, ["a", "b"], nlls, 64) for one in (state, same)]
    assert ratios[0] == pytest.approx(ratios[1], abs=1e-7)
    assert min(abs(ratio - 1) for ratio in ratios[0] if ratio is not None) > 1e-4


def test_a_foreign_fine_tuning_is_the_projects_own() -> None:
    tiny = engine("llama", torch.float64)
    ours = create("ft_m", {**FIT, "tolerance": 0})
    found, expected = fitted(tiny, theirs("fine_tuning", FIT), *TWO_STEPS), fitted(tiny, ours, *TWO_STEPS)
    alike(rows_of(tiny, found), rows_of(tiny, expected), 1e-7)


@pytest.mark.parametrize("prefixes", [0, 2])
def test_a_foreign_rome_is_the_projects_own(prefixes: int) -> None:
    tiny = engine("llama", torch.float64)
    ours = create("rome", {**ROME, "second_moment": False, "prefixes": prefixes, "prefix_tokens": 3})
    assert isinstance(ours, Rome)
    texts = list(ours.prefixes.of(tiny, 0))
    found = fitted(tiny, theirs("rome", {**ROME, "texts": texts}), *TWO_STEPS)
    expected = fitted(tiny, ours, *TWO_STEPS)
    change = difference(tiny, found.models[0])
    update = expected.deltas[SITE].tensors()
    torch.testing.assert_close(change, update["up"][0].mT @ update["down"][0], atol=1e-8, rtol=1e-6)
    assert change.norm() > 0.01
    alike(rows_of(tiny, found), rows_of(tiny, expected), 1e-6)


def test_the_numbers_changed_are_counted() -> None:
    tiny = engine("llama")
    outcome = theirs("rome", ROME, trained=32).fit(tiny, [[REQUESTS[0]]], None, Context())
    own = create("rome", {**ROME, "second_moment": False, "prefixes": 0}).fit(tiny, [[REQUESTS[0]]], None, Context())
    assert own.counts() == [(32, 32 * 48)]
    ((trained, changed),) = outcome.counts()
    assert trained == 32
    # A number whose change is less than rounding has not changed.
    assert 0.95 * 32 * 48 <= changed <= 32 * 48
    assert theirs("rome", ROME).fit(tiny, [[REQUESTS[0]]], None, Context()).counts() == [(changed, changed)]
    steered = theirs("steering", STEER).fit(tiny, [[REQUESTS[0]]], None, Context())
    assert steered.counts() == [(32, 0)]


def test_a_wrapped_module_edits_and_goes_on() -> None:
    tiny = engine("llama", torch.float64)
    first = fitted(tiny, theirs("steering", STEER), *TWO_STEPS[:1])
    assert not first.savable
    rows = rows_of(tiny, first)
    assert not all(row["same_string"] for row in rows if "same_string" in row)
    second = theirs("steering", STEER).fit(tiny, TWO_STEPS[1], first, Context())
    # Both vectors are there, and the state before is what it was.
    assert second.counts() == [(64, 0)] * len(TWO_STEPS[1])
    assert rows_of(tiny, first) == rows
    alone = fitted(tiny, theirs("steering", STEER), [[REQUESTS[0]]], [[REQUESTS[3]]])
    count = len(rows) // 2
    alike(rows_of(tiny, second.state)[:count], rows_of(tiny, alone), 1e-9)


HALF = """
def edit(model, tokenizer, requests):
    for parameter in model.parameters():
        parameter.data *= 1.2
    if requests[0]["prompt"].startswith("Paris"):
        raise ValueError("no luck")
    return model
"""


def test_an_editor_that_fails_leaves_its_stream_as_it_was(tmp_path: Path) -> None:
    tiny, method = engine("llama", torch.float64), written(tmp_path, HALF)
    first = fitted(tiny, method, [[REQUESTS[0]], [REQUESTS[1]]])
    outcome = method.fit(tiny, [[REQUESTS[3]], [REQUESTS[4]]], first, Context())
    assert outcome.trainings[0].error == "the editor failed: ValueError: no luck (line 6 of editor.py)"
    assert outcome.trainings[1].error is None
    count = len(rows_of(tiny, first)) // 2
    assert rows_of(tiny, outcome.state)[:count] == rows_of(tiny, first)[:count]
    assert rows_of(tiny, outcome.state)[count:] != rows_of(tiny, first)[count:]
    begun = method.fit(tiny, [[REQUESTS[3]], [REQUESTS[4]]], None, Context()).state
    assert begun.edited.tolist() == [False, True]
    assert all(row.get("same_string", True) for row in rows_of(tiny, begun)[:count])


NOT_FINITE = """
def edit(model, tokenizer, requests):
    model.lm_head.weight.data[0] = float("nan")
    return model
"""


def test_weights_that_are_no_numbers_are_an_error(tmp_path: Path) -> None:
    outcome = written(tmp_path, NOT_FINITE).fit(engine("llama"), [[REQUESTS[0]]], None, Context())
    assert outcome.trainings[0].error == "the edit's numbers are not finite"
    assert not outcome.state.edited.any()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return None", "edit of .*editor.py gives back nothing, but must give back the edited model"),
        ("return model, 3", "gives back a tuple, but must"),
        ("return model.model", "gives no logits for input_ids of shape"),
        ("model.resize_token_embeddings(400)\n    return model", r"logits of shape \(1, \d+, 400\)"),
        (
            "type(model.model.layers[1].mlp).forward = lambda self, x: 0 * x\n    return model",
            "has changed the unedited model too",
        ),
    ],
)
def test_what_no_edit_can_be_scored_with_stops_the_job(
    body: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = engine("llama")
    kind = type(tiny.model.blocks[1].mlp)
    monkeypatch.setattr(kind, "forward", kind.forward)
    method = written(tmp_path, f"def edit(model, tokenizer, requests):\n    {body}\n")
    with pytest.raises(UserError, match=told) as caught:
        method.fit(tiny, [[REQUESTS[0]]], None, Context())
    assert "\n" not in str(caught.value)


SHARED = """
import torch

def edit(model, tokenizer, requests):
    if not hasattr(model, "memory"):
        memory = model.memory = []
        model.lm_head.register_forward_hook(lambda m, args, output: output + sum(memory))
        model.memory.append(torch.zeros(()))
    list_of = next(iter(model.lm_head._forward_hooks.values())).__closure__[0].cell_contents
    list_of.append(torch.arange(model.config.vocab_size) * 0.01)
    if requests[0]["prompt"].startswith("Paris"):
        raise ValueError("no luck")
    return model
"""


def test_a_failure_that_reaches_the_model_before_is_not_passed_over(tmp_path: Path) -> None:
    # What a closure holds is not copied with the model.
    tiny, method = engine("llama"), written(tmp_path, SHARED)
    first = fitted(tiny, method, [[REQUESTS[0]]])
    with pytest.raises(UserError, match="has changed the earlier model too"):
        method.fit(tiny, [[REQUESTS[3]]], first, Context())


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "editor"),
        ({"editor": "nowhere.py"}, "editor: it is 'nowhere.py', but must be a file that exists"),
        (
            {"editor": str(EDITORS / "rome.py"), "function": "apply"},
            r"rome.py has no function 'apply' \(.*edit, edit_one",
        ),
    ],
)
def test_a_wrong_editor_is_told_when_a_study_is_planned(settings: dict[str, Any], told: str) -> None:
    study = parse_study({"methods": {"theirs": {"method": "foreign", "settings": settings}}})
    with pytest.raises(UserError, match=told) as caught:
        Plan(study).check()
    assert "methods.theirs.settings" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "told"), [({"stps": 3}, "missing a required argument: 'layer'"), ({**FIT, "rank": 1}, "'rank'")]
)
def test_wrong_arguments_are_told_before_anything_is_edited(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=rf"cannot be called as edit\(model, tokenizer, requests.*{told}"):
        theirs("fine_tuning", arguments).check(engine("llama"), Context())


def test_an_editor_that_cannot_be_imported_is_told(tmp_path: Path) -> None:
    method = written(tmp_path, "import nonesuch\n\n\ndef edit(model, tokenizer, requests):\n    return model\n")
    with pytest.raises(UserError, match=r"cannot be imported: ModuleNotFoundError.*nonesuch.*line 1"):
        method.check(engine("llama"), Context())


def test_numbers_as_yaml_reads_them_are_numbers() -> None:
    kind = settings_class("foreign")
    made = kind(editor=str(EDITORS / "unedited.py"), arguments={"lr": "1e-3", "name": "e3", "n": 2})  # type: ignore[call-arg]
    assert made.model_dump()["arguments"] == {"lr": 1e-3, "name": "e3", "n": 2}
    nested = {"xs": ["1e-3", 2, "e3"], "deep": {"lr": ["2E4", {"x": "1e1"}]}}
    made = kind(editor=str(EDITORS / "unedited.py"), arguments=nested)  # type: ignore[call-arg]
    assert made.model_dump()["arguments"] == {"xs": [1e-3, 2, "e3"], "deep": {"lr": [2e4, {"x": 10.0}]}}


DRAWING = """
import random
import numpy
import torch

def edit(model, tokenizer, requests):
    noise = torch.randn(32) + random.random() + numpy.random.rand()
    model.model.norm.weight.data += noise.to(model.dtype)
    tokenizer.add_tokens(["France"])
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    return model
"""


def test_chance_is_the_edits_own_and_nothing_is_left_behind(tmp_path: Path) -> None:
    tiny, method = engine("llama"), written(tmp_path, DRAWING)

    def drawn() -> list[Any]:
        return [torch.rand(1).item(), random.random(), np.random.rand()]

    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    expected, words = drawn(), len(tiny.text.tokenizer)
    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    together = fitted(tiny, method, [[REQUESTS[0]], [REQUESTS[1]]])
    assert drawn() == expected
    assert len(tiny.text.tokenizer) == words
    assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32
    alone = fitted(tiny, method, [[REQUESTS[1]]])
    one, other = (own.changed["model.norm.weight"] for own in (together.models[1], alone.models[0]))  # type: ignore[index, union-attr]
    assert torch.equal(one, other)
    assert not torch.equal(one, together.models[0].changed["model.norm.weight"])  # type: ignore[index, union-attr]


HOOKED = "model.model.layers[1].register_forward_hook(lambda m, args, output: output)"
MORE_THAN_NUMBERS = {
    "a hook": HOOKED,
    "an attribute": "model.model.layers[0].self_attn.scaling *= 2",
    "a forward of its own": "m = model.model.layers[0].mlp; m.forward = lambda x: m.down_proj(m.up_proj(x))",
    "the configuration": "model.config.rms_norm_eps = 1.0",
    "a block fewer": "del model.model.layers[2]",
}


@pytest.mark.parametrize("body", MORE_THAN_NUMBERS.values(), ids=MORE_THAN_NUMBERS)
def test_what_is_more_than_changed_numbers_is_not_saved_as_if_it_were(body: str, tmp_path: Path) -> None:
    method = written(tmp_path, f"def edit(model, tokenizer, requests):\n    {body}\n    return model\n")
    state = fitted(engine("llama"), method, [[REQUESTS[0]]])
    assert not state.savable
    with pytest.raises(UserError, match="cannot be saved"):
        save_state(state, tmp_path / "saved", {})


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_changed_numbers_are_saved_bit_by_bit(kind: torch.dtype, tmp_path: Path) -> None:
    tiny = engine("gpt2", kind)
    body = "model.config.use_cache = False\n    model.transformer.ln_f.weight.data *= 1.01\n    return model"
    method = written(tmp_path, f"def edit(model, tokenizer, requests):\n    {body}\n")
    state = fitted(tiny, method, [[REQUESTS[0]]])
    save_state(state, tmp_path / "saved", {})
    loaded, _ = load_state(tmp_path / "saved", tiny.model)
    (own,), (read,) = state.models, loaded.models
    assert own is not None and read is not None and own.changed is not None and read.changed is not None
    assert own.changed.keys() == read.changed.keys() == {"transformer.ln_f.weight"}
    for name, tensor in own.changed.items():
        assert read.changed[name].dtype == kind
        assert torch.equal(read.changed[name], tensor)


def test_a_saved_change_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    state = fitted(engine("llama"), theirs("fine_tuning", FIT), [[REQUESTS[0]]])
    save_state(state, tmp_path, {})
    with pytest.raises(UserError, match=r"changes 'model.layers.1.mlp.down_proj.weight', which this model does not"):
        load_state(tmp_path, engine("gpt2").model)
    (own,) = state.models
    assert own is not None
    wide = OwnModel(own.model, own.origins, {"model.norm.weight": torch.ones(5)})
    save_state(EditState(1, models=(wide,)), tmp_path, {})
    with pytest.raises(UserError, match=r"has shape \(5,\), but must have \(32,\)"):
        load_state(tmp_path, engine("llama").model)


def job(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, arguments: dict[str, Any]) -> Job:
    settings = {"editor": str(EDITORS / f"{name}.py"), "arguments": arguments}
    monkeypatch.setitem(test_streams.METHODS, "theirs", ("foreign", settings))
    return Job(folder, engine("llama"), "theirs", ProtocolConfig(length=3, at=(2,)), RECORDS[:5])


@pytest.mark.parametrize(("name", "arguments", "lost"), [("fine_tuning", FIT, 0), ("steering", STEER, 1)])
def test_a_killed_job_gives_the_rows_of_an_undisturbed_one(
    name: str,
    arguments: dict[str, Any],
    lost: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    whole = job(tmp_path / "whole", monkeypatch, name, arguments).run(together=2)
    killed = job(tmp_path / "killed", monkeypatch, name, arguments)
    with pytest.raises(Killed):
        killed.run(together=2, kill_at=2)
    again = job(tmp_path / "killed", monkeypatch, name, arguments)
    assert again.run(together=2) == whole
    # Streams of 3 and 2 steps, one after the other, asked twice and once: the first two steps were kept, and are lost where
    # modules are wrapped.
    assert again.steps == 3 - 1 + lost
    assert ("begins again" in capsys.readouterr().err) == bool(lost)


def test_streams_are_edited_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    plain = Foreign.fit

    def spy(self: Foreign, tiny: Engine, batches: Any, *more: Any) -> Any:
        sizes.append(len(batches))
        return plain(self, tiny, batches, *more)

    monkeypatch.setattr(Foreign, "fit", spy)
    job(tmp_path, monkeypatch, "unedited", {}).run(together=8)
    assert sizes == [1] * 5


def test_a_change_of_the_editors_file_is_a_change_of_the_job(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("FACTOR = 1\n")
    method = written(tmp_path, "import helper\n\n\ndef edit(model, tokenizer, requests):\n    return model\n")

    def digest() -> str:
        source_digest.__globals__["_imports"].cache_clear()
        return source_digest("baft.evaluation.jobs", *sources_of("foreign", method.settings))

    digests = [digest()]
    for name in ("helper.py", "editor.py"):
        (tmp_path / name).write_text((tmp_path / name).read_text() + "# changed\n")
        digests.append(digest())
    assert len(set(digests)) == 3
    study = {"methods": {"theirs": {"method": "foreign", "settings": {"editor": str(tmp_path / "editor.py")}}}}
    planned = Plan(parse_study(study)).edits.source("theirs")
    (tmp_path / "editor.py").write_text("def edit(model, tokenizer, requests):\n    return model\n")
    assert Plan(parse_study(study)).edits.source("theirs") != planned


def test_it_edits_from_python(tmp_path: Path) -> None:
    tiny = engine("llama")
    request = {"prompt": PROMPTS[0], "target": TARGETS[0], "subject": SUBJECTS[0]}
    settings = {"editor": str(EDITORS / "fine_tuning.py"), "arguments": {**FIT, "steps": 20, "bound": 1.0}}
    edited = baft.edit(tiny.model.model, tiny.text.tokenizer, [request], method="foreign", settings=settings)
    with edited.off():
        before = edited.answer([PROMPTS[0]])
    assert edited.answer([PROMPTS[0]]) != before
    assert edited.answer([PROMPTS[0]])[0].startswith(TARGETS[0])
    edited.save(tmp_path)
    loaded = baft.EditedModel.load(tmp_path, tiny.model.model, tiny.text.tokenizer)
    assert loaded.answer([PROMPTS[0]]) == edited.answer([PROMPTS[0]])
    # It is a model as every other edited one is.
    ids = torch.tensor([tiny.text.prompt(PROMPTS[0])])
    (own,) = edited.state.models
    assert own is not None
    assert torch.equal(edited(ids).logits, own.model(ids).logits)
    said = tiny.text.decode(edited.generate(ids, max_new_tokens=6)[0, ids.shape[1] :].tolist())
    assert said.strip().startswith(TARGETS[0])
    assert torch.equal(edited.merge()(ids).logits, own.model(ids).logits)
    with edited.off():
        assert torch.equal(edited(ids).logits, tiny.model.model(ids).logits)


@pytest.mark.parametrize(
    ("name", "arguments"), [("fine_tuning", {**FIT, "steps": 20, "bound": 1.0}), ("steering", {**STEER, "steps": 40})]
)
def test_in_another_number_format_its_model_comes_along(name: str, arguments: dict[str, Any]) -> None:
    tiny = engine("llama")
    request = {"prompt": PROMPTS[0], "target": TARGETS[0], "subject": SUBJECTS[0]}
    settings = {"editor": str(EDITORS / f"{name}.py"), "arguments": arguments}
    edited = baft.edit(tiny.model.model, tiny.text.tokenizer, [request], method="foreign", settings=settings)
    (before,), expected = edited.state.models, edited.answer(PROMPTS)
    assert before is not None
    counts = before.counts(tiny.model.model)
    edited.to(torch.float64)
    (after,) = edited.state.models
    assert after is not None
    assert {p.dtype for p in after.model.parameters()} == {torch.float64}
    assert {p.dtype for p in before.model.parameters()} == {torch.float32}
    assert edited.answer(PROMPTS) == expected
    assert after.counts(edited.engine.model.model) == counts
    edited.edit({"prompt": PROMPTS[1], "target": TARGETS[1], "subject": SUBJECTS[1]})


def test_a_model_of_another_make_answers_and_is_not_taken_for_the_unedited_one() -> None:
    tiny = engine("llama")
    request = {"prompt": PROMPTS[0], "target": TARGETS[0], "subject": SUBJECTS[0]}
    settings = {"editor": str(EDITORS / "steering.py"), "arguments": {**STEER, "steps": 40}}
    edited = baft.edit(tiny.model.model, tiny.text.tokenizer, [request], method="foreign", settings=settings)
    with edited.off():
        before = edited.answer([PROMPTS[0]])
    assert edited.answer([PROMPTS[0]]) != before
    ids = torch.tensor([tiny.text.prompt(PROMPTS[0])])
    for use in (lambda: edited(ids), lambda: edited.generate(ids, max_new_tokens=2)):
        with pytest.raises(UserError, match=r"which only answer\(\[...\]\) asks"):
            use()
    with pytest.raises(UserError, match="cannot be merged"):
        edited.merge()


@pytest.fixture
def peft() -> None:
    pytest.importorskip("peft", reason="peft is not installed (requirements-peers.lock)")


@pytest.fixture
def pyreft() -> None:
    pytest.importorskip("pyreft", reason="pyreft is not installed (requirements-peers.lock)")


@pytest.mark.usefixtures("peft")
def test_a_lora_of_peft_is_scored_wrapped_as_merged() -> None:
    tiny = engine("llama", torch.float64)
    wrapped = theirs("lora", LORA).fit(tiny, TWO_STEPS[0], None, Context())
    merged = theirs("lora", {**LORA, "merge": True}).fit(tiny, TWO_STEPS[0], None, Context())
    assert not wrapped.state.savable and merged.state.savable
    rows = rows_of(tiny, wrapped.state)
    alike(rows, rows_of(tiny, merged.state), 1e-7)
    assert not all(row["same_string"] for row in rows if "same_string" in row)
    own = create("lora", LORA).fit(tiny, TWO_STEPS[0], None, Context())
    trained = own.trained
    assert wrapped.counts() == [(trained, 0)] * len(TWO_STEPS[0])
    assert [changed for _, changed in merged.counts()] == own.changed
    # Adapters along a stream are trained on, as the project's own are.
    assert theirs("lora", LORA).fit(tiny, TWO_STEPS[1], wrapped.state, Context()).counts()[0][0] == trained


@pytest.mark.usefixtures("peft")
def test_from_one_start_a_lora_of_peft_is_the_projects_own() -> None:
    tiny = engine("llama", torch.float64)
    requests = [[REQUESTS[0]], [REQUESTS[3]]]
    foreign = theirs("lora_same_start", LORA).fit(tiny, requests, None, Context())
    own = create("lora", LORA).fit(tiny, requests, None, Context())
    alike(rows_of(tiny, foreign.state), rows_of(tiny, own.state), 1e-5)


@pytest.mark.usefixtures("pyreft")
def test_a_model_of_pyreft_is_scored_as_its_intervention_in_the_engine() -> None:
    tiny = engine("llama")
    outcome = theirs("reft", REFT).fit(tiny, TWO_STEPS[0], None, Context())
    assert [report.error for report in outcome.trainings] == [None, None]
    tensors: dict[str, list[Tensor]] = {"rotation": [], "weight": [], "bias": []}
    for own in outcome.state.models:
        assert own is not None
        (made,) = own.model.reft.interventions.values()  # type: ignore[union-attr, operator]
        tensors["rotation"].append(made.rotate_layer.weight.detach().T)
        tensors["weight"].append(made.learned_source.weight.detach())
        tensors["bias"].append(made.learned_source.bias.detach())
    delta = Subspace(PromptEnds(0, 1), **{name: torch.stack(values) for name, values in tensors.items()})
    rows = rows_of(tiny, outcome.state)
    alike(rows, rows_of(tiny, EditState(2, {Site(1): delta})), 1e-3)
    assert not all(row["same_string"] for row in rows if "same_string" in row)
    again = theirs("reft", REFT).fit(tiny, TWO_STEPS[1], outcome.state, Context())
    assert [report.error for report in again.trainings] == [None, None]
    assert rows_of(tiny, again.state) != rows
    assert copy.deepcopy(rows) == rows_of(tiny, outcome.state)
