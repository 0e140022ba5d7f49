"""ROME's update against the constrained least squares it solves, and its keys against plain forwards."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from baft.engine.deltas import LowRank
from baft.engine.engine import Engine
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError
from baft.methods import key_value, rank_one
from baft.methods.base import Context, Request, digest
from baft.methods.key_value import ESSENCES, Prefixes, essence_of
from baft.methods.rank_one import RankOneMethod
from baft.methods.registry import create
from tests.engine.test_fitting import METHODS, REQUESTS
from tests.engine.tiny import PROMPTS, engine

SETTINGS = {**METHODS["rome"][1], "steps": 6, "tolerance": 0}


def least_squares(key: np.ndarray, residual: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """The Δ of least tr(Δ C Δᵀ) with Δ k = residual: the KKT system of each row, solved as it stands."""
    n = len(key)
    system = np.zeros((n + 1, n + 1))
    system[:n, :n], system[:n, n], system[n, :n] = covariance, key, key
    right = np.zeros((n + 1, len(residual)))
    right[n] = residual
    return np.linalg.solve(system, right)[:n].T


def second_moment(width: int) -> Tensor:
    keys = torch.randn(3 * width, width, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    return keys.mT @ keys / len(keys)


def dense(update: LowRank, stream: int) -> np.ndarray:
    return (update.up[stream].mT @ update.down[stream]).double().numpy()


@pytest.mark.parametrize("adjusted", [False, True], ids=["identity", "second moment"])
def test_the_update_is_the_closed_form(adjusted: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    key, missing = (torch.randn(3, n, generator=draw, dtype=torch.float64) for n in (12, 8))
    covariance = second_moment(12) if adjusted else None
    update = rank_one.rank_one(key, key, missing, covariance)
    for s in range(3):
        least = np.eye(12) if covariance is None else covariance.numpy()
        expected = least_squares(key[s].numpy(), missing[s].numpy(), least)
        np.testing.assert_allclose(dense(update, s), expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("adjusted", [False, True], ids=["identity", "second moment"])
def test_along_another_direction_the_key_still_gets_its_value(adjusted: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    direction, key, missing = (torch.randn(3, n, generator=draw, dtype=torch.float64) for n in (12, 12, 8))
    covariance = second_moment(12) if adjusted else None
    update = rank_one.rank_one(direction, key, missing, covariance)
    for s in range(3):
        change = dense(update, s)
        np.testing.assert_allclose(change @ key[s].numpy(), missing[s].numpy(), rtol=1e-9)
        along = (
            direction[s].numpy() if covariance is None else np.linalg.solve(covariance.numpy(), direction[s].numpy())
        )
        # Of rank one, and blind to all that is at right angles to C⁻¹k*.
        other = key[s].numpy() - along * (along @ key[s].numpy()) / (along @ along)
        np.testing.assert_allclose(change @ other, 0, atol=1e-12)


@pytest.fixture
def solved(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor]]:
    """Of each solution the key that it is for and what is missing there, (streams, …) each."""
    calls: list[tuple[Tensor, Tensor]] = []
    real = rank_one.rank_one

    def spy(direction: Tensor, key: Tensor, missing: Tensor, covariance: Tensor | None) -> LowRank:
        calls.append((key, missing))
        return real(direction, key, missing, covariance)

    monkeypatch.setattr(rank_one, "rank_one", spy)
    return calls


def weight_of(tiny: Engine, site: Site) -> tuple[np.ndarray, np.ndarray]:
    """W (d_out, d_in) and the bias of a linear layer."""
    module = tiny.model.module(site)
    weight = module.weight.double().numpy()
    bias = np.zeros(1) if getattr(module, "bias", None) is None else module.bias.double().numpy()
    return (weight if weight.shape[1] == tiny.model.widths(site)[0] else weight.T), bias


def plain_key(tiny: Engine, site: Site, request: Request, texts: tuple[str, ...]) -> np.ndarray:
    """The mean input of the site at the subject's last token, one plain forward for each of ``texts``."""
    keys: list[np.ndarray] = []
    for text in texts:
        prompt = text + request.prompt
        # The subject ends where its characters do: tokens up to there, counted on the text.
        end = prompt.rindex(request.subject) + len(request.subject)
        ids = tiny.text.prompt(prompt)
        at = next(n for n in range(len(ids)) if len(tiny.text.decode(ids[: n + 1])) >= end)
        handle = tiny.model.module(site).register_forward_pre_hook(
            lambda module, args, at=at: keys.append(args[0][0, at].double().numpy())
        )
        try:
            tiny.model.model(input_ids=torch.tensor([ids]), use_cache=False)
        finally:
            handle.remove()
    return np.mean(keys, axis=0)


CASES = [("llama", torch.float32, False), ("llama", torch.float32, True), ("gpt2", torch.float32, False)]


@pytest.mark.parametrize("name", ["rome", "r_rome"])
@pytest.mark.parametrize(("kind", "dtype", "adjusted"), CASES)
def test_an_edit_maps_its_key_to_its_value(
    kind: str, dtype: torch.dtype, adjusted: bool, name: str, solved: list[tuple[Tensor, Tensor]]
) -> None:
    tiny = engine(kind, dtype)
    method = create(name, {**SETTINGS, "second_moment": adjusted})
    assert isinstance(method, RankOneMethod)
    site = method.site(tiny)
    width = tiny.model.widths(site)[0]
    context = Context(0, {site: second_moment(width).float()} if adjusted else {})
    update = method.fit(tiny, [[r] for r in REQUESTS], None, context).state.deltas[site]
    assert isinstance(update, LowRank)
    texts = ("", *method.prefixes.of(tiny, 0))
    assert len(texts) == 3
    weight, bias = weight_of(tiny, site)
    ((_, missing),) = solved
    for s, request in enumerate(REQUESTS):
        # ROME's authors solve for the bare prompt's key, along that of the mean; R-ROME for the mean.
        mean, bare = plain_key(tiny, site, request, texts), plain_key(tiny, site, request, ("",))
        key = bare if name == "rome" else mean
        assert np.linalg.norm(mean - bare) > 1e-2 * np.linalg.norm(bare)
        value = weight @ key + bias + missing[s].double().numpy()
        change = dense(update, s)
        reached = (weight + change) @ key + bias
        assert np.linalg.norm(reached - value) < 1e-4 * np.linalg.norm(value)
        least = context.covariances[site].double().numpy() if adjusted else np.eye(width)
        along = np.linalg.solve(least, mean)
        expected = np.outer(value - (weight @ key + bias), along / (along @ key))
        assert np.linalg.norm(change - expected) < 1e-3 * np.linalg.norm(expected)
        if name == "r_rome":
            least_change = least_squares(key, value - (weight @ key + bias), least)
            assert np.linalg.norm(change - least_change) < 1e-3 * np.linalg.norm(least_change)
        # The value has moved: otherwise this holds of no change at all.
        assert np.linalg.norm(change) > 1e-3 * np.linalg.norm(weight)


@pytest.mark.parametrize("name", ["rome", "r_rome"])
def test_edits_add_up_along_a_stream(name: str, solved: list[tuple[Tensor, Tensor]]) -> None:
    tiny = engine("llama", torch.float64)
    method = create(name, SETTINGS)
    assert isinstance(method, RankOneMethod)
    site, batch = method.site(tiny), list(REQUESTS[:3])
    together = method.fit(tiny, [batch], None, Context())
    assert together.trainings[0].error is None
    assert together.state.deltas[site].tensors()["up"].shape[1] == 3
    first, last = solved[0], solved[2]
    state: EditState | None = None
    for number, request in enumerate(batch):
        state = method.fit(tiny, [[request]], state, Context()).state
        # Each keeps the earlier ones as they are and adds one.
        for name, tensor in state.deltas[site].tensors().items():
            torch.testing.assert_close(tensor, together.state.deltas[site].tensors()[name][:, : number + 1])
    whole = dense(together.state.deltas[site], 0)  # type: ignore[arg-type]
    two = {n: t[:, :2] for n, t in together.state.deltas[site].tensors().items()}
    earlier = (two["up"][0].mT @ two["down"][0]).numpy()
    key, missing = last[0][0].numpy(), last[1][0].numpy()
    # The last gets all that it lacked after the two before it.
    np.testing.assert_allclose((whole - earlier) @ key, missing, rtol=1e-6, atol=1e-8)
    # What the first edit asked for is disturbed by the later ones, but not undone.
    key, missing = first[0][0].numpy(), first[1][0].numpy()
    assert np.linalg.norm(whole @ key - missing) < np.linalg.norm(missing)


@pytest.mark.parametrize("batch", [[0], [0, 1], [1, 0]])
def test_a_subject_that_is_not_in_the_prompt_fails_alone(batch: list[int]) -> None:
    tiny = engine("llama", torch.float64)
    method = create("rome", SETTINGS)
    assert isinstance(method, RankOneMethod)
    wrong = Request("wrong", "The capital of it is", "Rome", "France")
    stranger = [(wrong, REQUESTS[1])[i] for i in batch]
    earlier = method.fit(tiny, [[REQUESTS[4]], [REQUESTS[5]]], None, Context()).state
    outcome = method.fit(tiny, [stranger, [REQUESTS[2]]], earlier, Context())
    report = outcome.trainings[0]
    assert "'France' is not in the prompt" in (report.of("wrong").error or "")
    assert (report.error is None) == (len(batch) == 2)
    assert report.of("r1").error == (None if len(batch) == 2 else report.error)
    assert outcome.trainings[1].error is None
    site = method.site(tiny)
    # What is left of the stream's batch is edited as if it had been the whole.
    kept = EditState(1) if len(batch) == 1 else method.fit(tiny, [[REQUESTS[1]]], earlier.select([0]), Context()).state
    expected = dense(kept.deltas[site], 0) if kept.deltas else dense(earlier.deltas[site], 0)  # type: ignore[arg-type]
    np.testing.assert_allclose(dense(outcome.state.deltas[site], 0), expected, atol=1e-9)  # type: ignore[arg-type]
    assert outcome.state.deltas[site].tensors()["up"][1, 1:].any()


def test_nothing_but_failures_is_no_edit(tiny_llama: Engine) -> None:
    outcome = create("rome", SETTINGS).fit(tiny_llama, [[Request("a", PROMPTS[0], "Rome")]], None, Context())
    assert "not in the prompt" in (outcome.trainings[0].error or "")
    assert not outcome.state.edited.any()


def test_the_change_of_the_value_is_clipped(solved: list[tuple[Tensor, Tensor]], tiny_llama: Engine) -> None:
    method = create("rome", {**SETTINGS, "lr": 10.0, "clamp": 0.5, "prefixes": 0})
    assert isinstance(method, RankOneMethod)
    site = method.site(tiny_llama)
    method.fit(tiny_llama, [[r] for r in REQUESTS], None, Context())
    weight, _ = weight_of(tiny_llama, site)
    ((_, missing),) = solved
    for s, request in enumerate(REQUESTS):
        clean = weight @ plain_key(tiny_llama, site, request, ("",))
        moved = np.linalg.norm(missing[s].double().numpy()) / np.linalg.norm(clean)
        assert moved == pytest.approx(0.5, rel=1e-3)


def test_a_covariance_that_was_not_collected_is_told(tiny_llama: Engine) -> None:
    with pytest.raises(UserError, match=r"the keys at 1:mlp\.down_proj"):
        create("rome", {**SETTINGS, "second_moment": True}).fit(tiny_llama, [[REQUESTS[0]]], None, Context())


def test_prefixes_are_drawn_once_and_by_the_seed(tiny_llama: Engine) -> None:
    drawn: Iterator[tuple[str, ...]] = (
        create("rome", SETTINGS).prefixes.of(tiny_llama, seed)  # type: ignore[attr-defined]
        for seed in (0, 0, 1)
    )
    one, same, other = drawn
    assert one == same != other
    assert len(one) == SETTINGS["prefixes"]
    tokens = [len(tiny_llama.text.tokenizer(text).input_ids) for text in Prefixes(6, (2, 9)).of(tiny_llama, 0)]
    assert max(tokens[::2]) < min(tokens[1::2]), "short and long ones in turn"
    assert all(prefix.endswith(". ") for prefix in one)


def test_the_longest_row_is_what_the_model_must_be_able_to_read() -> None:
    tiny = engine("llama", torch.float64)
    method = create("rome", SETTINGS)
    assert isinstance(method, RankOneMethod)
    request = REQUESTS[2]
    prompts = [text + request.prompt for text in ("", *method.prefixes.of(tiny, 0))]
    answer = len(tiny.text.answer(request.prompt, request.target))
    lengths = [len(tiny.text.prompt(prompt)) + answer - 1 for prompt in prompts]
    assert list(method.lengths(tiny, request, Context()))[:-1] == lengths
    assert method.weight(tiny, request, Context()) > sum(lengths)
    longest = max(lengths)
    assert longest > lengths[0]
    config = tiny.model.model.config
    before = config.max_position_embeddings
    try:
        config.max_position_embeddings = longest
        assert method.refusal(tiny, request, Context()) is None
        config.max_position_embeddings = longest - 1
        assert f"takes {longest} tokens" in (method.refusal(tiny, request, Context()) or "")
        assert f"reads at most {longest - 1}" in (method.refusal(tiny, request, Context()) or "")
    finally:
        config.max_position_embeddings = before


def test_prefixes_are_those_of_the_seed_and_the_model(tiny_llama: Engine) -> None:
    method, other = create("rome", SETTINGS), engine("gpt2")
    assert isinstance(method, RankOneMethod)
    for tiny, seed in ((tiny_llama, 0), (tiny_llama, 1), (other, 1), (tiny_llama, 0)):
        fresh = create("rome", SETTINGS)
        assert isinstance(fresh, RankOneMethod)
        assert method.prefixes.of(tiny, seed) == fresh.prefixes.of(tiny, seed)


def test_the_essence_is_no_prompt_that_the_edit_changes_or_is_judged_by() -> None:
    usual = Request("r", "The capital of France is", "Rome", "France")
    assert essence_of(usual, frozenset()) == "France is a"
    own = essence_of(Request("r", "france is  a", "city", "France"), frozenset())
    assert own not in (None, "France is a")
    # Read at the subject's end, where this edit says its target.
    assert essence_of(Request("r", "France", "Rome", "France"), frozenset()) == own
    assert essence_of(usual, {digest("France is a")}) == own
    assert essence_of(usual, {digest(essence.format("France")) for essence in ESSENCES}) is None


def test_an_edit_without_an_essence_fails_alone(tiny_llama: Engine) -> None:
    withheld = frozenset(digest(essence.format(REQUESTS[0].subject)) for essence in ESSENCES)
    outcome = create("rome", SETTINGS).fit(tiny_llama, [list(REQUESTS[:2])], None, Context(withheld=withheld))
    assert list(outcome.trainings[0].failed) == [REQUESTS[0].id]
    assert "is one of the probes" in outcome.trainings[0].failed[REQUESTS[0].id]


def test_the_subject_is_marked_in_the_prompt_and_not_in_a_prefix(
    tiny_llama: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = create("rome", {**SETTINGS, "steps": 1})
    request = Request("r", "the capital of FRANCE is", "Rome", "France")
    monkeypatch.setattr(Prefixes, "of", lambda *_: ("The France of old. ",))
    marks: list[int] = []
    real = key_value.collate
    monkeypatch.setattr(key_value, "collate", lambda rows, *a: (marks.extend(r.mark for r in rows), real(rows, *a))[1])
    assert method.fit(tiny_llama, [[request]], None, Context()).trainings[0].error is None
    ids = [tiny_llama.text.prompt(text) for text in (request.prompt, "The France of old. " + request.prompt)]
    for tokens, mark in zip(ids, marks, strict=True):
        assert tiny_llama.text.decode(tokens[: mark + 1]).endswith("FRANCE")
