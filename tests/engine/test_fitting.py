from __future__ import annotations

from statistics import median
from typing import Any

import pytest
import torch

from baft.engine.asking import Decoding, Question
from baft.engine.engine import Engine
from baft.methods.base import Context, Outcome, Request
from baft.methods.registry import create
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
    "baft": ("baft", {**_SUBSPACE, **_FEW, "grow": 0}),
    "baft softmax": ("baft", {**_SUBSPACE, **_FEW, "grow": 0, "gate": "softmax"}),
    "baft constant": ("baft", {**_SUBSPACE, **_FEW, "grow": 0, "gate": "constant"}),
    "baft growing": ("baft", {**_SUBSPACE, **_FEW, "grow": 2, "retention": 10}),
    "ft_l": ("ft_l", {"layer": 1, "steps": 12, "lr": 1e-2, "bound": 5e-2}),
    "ft_m": ("ft_m", {"layer": 1, "steps": 12, "lr": 1e-2}),
    "lora": ("lora", {"rank": 2, "steps": 12, "lr": 1e-2}),
    "rome": ("rome", {"layer": 1, "second_moment": False, "steps": 12, "lr": 0.1, "prefixes": 2, "prefix_tokens": 3}),
}


def fit(engine: Engine, label: str, batches: list[list[Request]], **more: Any) -> Outcome:
    name, settings = METHODS[label]
    return create(name, {**settings, "tolerance": 0, **more}).fit(engine, batches, None, Context(seed=0))


def halfway(engine: Engine, label: str, **more: Any) -> float:
    """A tolerance at which some streams stop early and others go on: the median loss after a third of the steps."""
    outcome = fit(engine, label, [[request] for request in REQUESTS], steps=4, **more)
    return median(report.loss for report in outcome.trainings if report.loss is not None)


# Adam scales a vanishing gradient up to a whole step, and with it the rounding noise of a batched product. In float64 what
# is left of that is far below what a mistake would leave; in float32 it is the noise itself that is bounded.
LARGEST = {torch.float64: 1e-8, torch.float32: 1e-4}
# Below a layer that attends to all before it: tiny Gemma's last layer sees no further back than six tokens, and what is
# changed at a subject beyond them reaches no answer.
LOWER: dict[tuple[str, str], dict[str, Any]] = {("rome", "gemma2"): {"layer": 0}}
CASES = [
    (label, kind, dtype)
    for label in METHODS
    for kind, dtype in (
        ("llama", torch.float64),
        ("gpt2", torch.float64),
        ("gemma2", torch.float64),
        ("llama", torch.float32),
    )
]


@pytest.mark.parametrize(("label", "kind", "dtype"), CASES)
def test_streams_fitted_together_are_those_fitted_alone(label: str, kind: str, dtype: torch.dtype) -> None:
    tiny = engine(kind, dtype)
    lower = LOWER.get((label, kind), {})
    more = {**lower, "tolerance": halfway(tiny, label, **lower)}
    together = fit(tiny, label, [[request] for request in REQUESTS], **more)
    asked = [Question(0, tuple(tiny.text.prompt(p)), (tuple(tiny.text.answer(p, "Rome")),)) for p in PROMPTS]
    taken = [report.steps for report in together.trainings]
    assert len(set(taken)) > 1, f"all streams stopped together: {taken}"
    for s, request in enumerate(REQUESTS):
        alone = fit(tiny, label, [[request]], **more)
        one, own = alone.trainings[0], together.trainings[s]
        assert (own.steps, own.error) == (one.steps, one.error)
        assert own.loss == pytest.approx(one.loss, rel=1e-4)
        part = together.state.select([s])
        assert part.deltas.keys() == alone.state.deltas.keys()
        for site, delta in alone.state.deltas.items():
            for name, tensor in delta.tensors().items():
                distance = (part.deltas[site].tensors()[name] - tensor).norm() / tensor.norm().clamp(min=1e-9)
                assert distance < LARGEST[dtype], (s, site, name, float(distance))
        first, second = (tiny.ask(state, asked, Decoding(4, ())) for state in (part, alone.state))
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
    after = tiny_llama.ask(outcome.state, asked, Decoding(1, ()))
    before = tiny_llama.ask(None, asked, Decoding(1, ()))
    # What prompt_last trains is, at the answer's own positions, its first token only.
    tokens = slice(0, 1) if label == "ft_l" else slice(None)
    gains = [
        sum(new.forced[0].logprob[tokens]) - sum(old.forced[0].logprob[tokens])
        for new, old in zip(after, before, strict=True)
    ]
    assert sum(gains) > 0
