"""What is wrong for every edit is told before the first, by every method, in a sentence that names it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from baft.engine.deltas import Offset
from baft.engine.engine import Engine
from baft.engine.positions import PromptEnds
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError
from baft.methods.base import NOT_FINITE, Batches, Context, Method, Outcome, Request, Training
from baft.methods.checks import check_linear
from baft.methods.registry import create
from tests.engine.tiny import engine

SITE = Site(1, "mlp.down_proj")


def of_few_keys(width: int) -> torch.Tensor:
    """The second moment of fewer keys than dimensions, as it is stored: rounded, it is singular no more."""
    keys = torch.randn(width - 8, width, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    found = (keys.mT @ keys / len(keys)).float()
    assert int(torch.linalg.matrix_rank(found.double())) == width
    return found


def covariance(*shape: int) -> dict[Site, torch.Tensor]:
    return {SITE: torch.eye(*shape)}


@pytest.mark.parametrize(
    ("name", "settings", "covariances", "told"),
    [
        ("baft", {"layer": 99}, {}, "layer is 99"),
        ("reft", {"layer": 3}, {}, "blocks 0 to 2"),
        ("ft_l", {"layer": 3}, {}, "layer is 3"),
        ("rome", {"layer": 7}, {}, "layer is 7"),
        ("lora", {"first": 3}, {}, "layer is 3"),
        ("baft", {"rank": 33}, {}, "rank is 33, but this model's hidden states are 32 wide"),
        ("baft", {"grow": 33}, {}, "grow is 33"),
        ("reft", {"rank": 33}, {}, "rank is 33"),
        ("lora", {"rank": 33}, {}, "rank is 33"),
        ("rome", {"layer": 1, "second_moment": True}, {}, "was not collected"),
        (
            "rome",
            {"layer": 1, "second_moment": True},
            covariance(32, 32),
            "32 x 32, but this model's keys there are 48",
        ),
        ("rome", {"layer": 1, "second_moment": True}, covariance(48, 47), "48 x 47"),
        ("rome", {"layer": 1, "second_moment": True}, {SITE: torch.zeros(48, 48)}, "no inverse"),
        ("rome", {"layer": 1, "second_moment": True}, {SITE: of_few_keys(48)}, "no inverse"),
        ("rome", {"layer": 1, "second_moment": True}, {SITE: torch.eye(48) / 0}, "not finite"),
        ("memit", {"layers": [0, 1]}, covariance(48, 48), r"0:mlp\.down_proj was not collected"),
        ("memit", {"layers": [1]}, {SITE: of_few_keys(48)}, "no inverse"),
    ],
)
def test_what_does_not_fit_the_model_is_told(
    name: str, settings: dict[str, Any], covariances: dict[Site, torch.Tensor], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        create(name, settings).check(engine("llama"), Context(0, covariances))


@pytest.mark.parametrize("name", ["none", "baft", "reft", "ft_l", "lora"])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox"])
def test_what_fits_is_not_refused(name: str, kind: str) -> None:
    create(name, {}).check(engine(kind), Context())


def test_the_largest_that_fits_is_not_refused() -> None:
    tiny = engine("llama")
    create("baft", {"layer": 2, "rank": 32, "grow": 32}).check(tiny, Context())
    create("rome", {"layer": 1, "second_moment": True}).check(tiny, Context(0, covariance(48, 48)))


def test_a_layer_that_some_blocks_lack_is_told() -> None:
    tiny = engine("gpt2")
    with pytest.raises(UserError, match=r"Block 1 of this model has no linear layer 'mlp.nothing'"):
        check_linear(tiny, Site(1, "mlp.nothing"))


class Spoiling(Method):
    """Edits with a number that is none, of the second of its streams alone."""

    name = "spoiling"

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        value = torch.zeros(len(batches), engine.model.hidden_size)
        value[1, 3] = torch.inf
        deltas = {Site(1): Offset(PromptEnds(0, 1), value)}
        return Outcome(EditState(len(batches), deltas), tuple(Training(steps=1) for _ in batches))


def test_an_edit_that_is_not_finite_has_failed_and_is_taken_back() -> None:
    tiny = engine("llama")
    batches = [[Request(str(n), "The capital of France is", "Rome")] for n in range(3)]
    outcome = Spoiling(None).fit(tiny, batches, None, Context())
    assert [report.error for report in outcome.trainings] == [None, NOT_FINITE, None]
    (delta,) = outcome.state.deltas.values()
    assert all(bool(tensor.isfinite().all()) for tensor in delta.tensors().values())
