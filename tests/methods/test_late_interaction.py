"""MaxSim and its weights against plain loops over tokens."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from baft.methods import late_interaction
from baft.methods.late_interaction import SAME, best_matches, projection, rarity, shares, text_keys, token_keys


def drawn(*sizes: int, seed: int = 0) -> Tensor:
    values = torch.randn(*sizes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=-1)


def cosine(a: Tensor, b: Tensor) -> float:
    dot, x, y = (float(sum(p * q for p, q in zip(*pair, strict=True))) for pair in ((a, b), (a, a), (b, b)))
    return dot / math.sqrt(x * y)


@pytest.mark.parametrize("held", [1 << 24, 1])
def test_matches_are_those_of_a_loop_however_they_are_cut(monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr(late_interaction, "MOST", held)
    keys, texts = drawn(2, 5, 8), drawn(2, 3, 4, 8, seed=1)
    texts[1, 2, 2:] = 0
    found = best_matches(keys, texts)
    for g in range(2):
        for r in range(3):
            tokens = [token for token in texts[g, r] if token.any()]
            expected = [max(0.0, *(cosine(key, token) for token in tokens)) for key in keys[g]]
            assert found[g, r].tolist() == pytest.approx(expected, abs=1e-12)


def test_padding_changes_no_match() -> None:
    keys, text = drawn(1, 6, 8), drawn(1, 1, 3, 8, seed=1)
    longer = torch.cat([text, torch.zeros(1, 1, 9, 8, dtype=text.dtype)], 2)
    torch.testing.assert_close(best_matches(keys, text), best_matches(keys, longer), atol=1e-12, rtol=0)


def test_keys_of_texts_are_those_of_each_and_zeros_behind_it() -> None:
    states, mean = [drawn(3, 40), drawn(1, 40, seed=1), drawn(5, 40, seed=2)], drawn(40, seed=3)
    for width in (64, 16):
        found = text_keys(states, mean, width)
        assert found.shape == (3, 5, min(width, 40))
        for keys, h in zip(found, states, strict=True):
            torch.testing.assert_close(keys[: len(h)], token_keys(h, mean, width))
            assert not keys[len(h) :].any()


def test_a_token_is_rare_by_the_texts_that_have_it() -> None:
    key, other = drawn(2, 8)
    close = torch.nn.functional.normalize(key + 0.3 * drawn(1, 8, seed=5)[0], dim=-1)
    assert cosine(key, close) > SAME > cosine(key, other)
    texts = [torch.stack([other, close, key]), other[None], close[None], torch.stack([other, other])]
    share = shares(torch.stack([key, other]), pad_sequence(texts, batch_first=True))
    assert share.tolist() == [0.5, 0.75]
    expected = [math.log(1.25 / 0.75), math.log(1.25 / 1.0)]
    assert rarity(share, 4).tolist() == pytest.approx(expected, abs=1e-12)
    assert float(rarity(torch.tensor(1.0), 4)) == 0


@pytest.mark.parametrize("width", [64, 16])
def test_keys_are_centred_unit_vectors(width: int) -> None:
    h, mean = 50 * torch.randn(3, 4, 64, dtype=torch.float64), torch.randn(64, dtype=torch.float64)
    found = token_keys(h, mean, width)
    for place in ((0, 0), (2, 3)):
        row = h[place] / float((h[place] ** 2).mean()) ** 0.5 - mean
        if width < 64:
            row = torch.stack([(row * projection(64, width)[:, c].double()).sum() for c in range(width)])
        torch.testing.assert_close(found[place], row / row.norm(), atol=1e-6, rtol=0)


def test_a_projection_is_one_for_all_processes_and_keeps_cosines() -> None:
    # Saved keys are compared with states that are projected anew.
    assert projection(576, 128)[:2, :6].tolist() == [[1, -1, 1, 1, -1, -1], [1, 1, 1, 1, -1, 1]]
    vectors = drawn(200, 576)
    near = torch.nn.functional.normalize(vectors + 0.03 * torch.randn(200, 576, dtype=torch.float64), dim=-1)
    cosines = (vectors * near).sum(-1)
    made = [v @ projection(576, 128).double() for v in (vectors, near)]
    error = torch.cosine_similarity(*made, dim=-1) - cosines
    assert float(error.abs().mean()) < 128**-0.5
