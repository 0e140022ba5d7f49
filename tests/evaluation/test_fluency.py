from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from baft.engine.asking import Decoding, Question, end_tokens
from baft.engine.engine import Engine
from baft.evaluation.fluency import n_gram_entropy, sampler
from tests.engine.tiny import PROMPTS


def test_the_entropy_of_a_text_computed_by_hand() -> None:
    # Bigrams: "a b" twice, "b a", "b c"; trigrams: "a b a", "b a b", "a b c".
    expected = stats.entropy([2, 1, 1], base=2) / 3 + 2 * stats.entropy([1, 1, 1], base=2) / 3
    assert n_gram_entropy("a b a b c") == pytest.approx(expected)


@pytest.mark.parametrize(("text", "bits"), [("", 0.0), ("one", 0.0), ("no no no no no no", 0.0), ("one two", 0.0)])
def test_what_repeats_itself_or_is_too_short_has_none(text: str, bits: float) -> None:
    assert n_gram_entropy(text) == bits


def test_words_punctuation_and_scripts_without_spaces() -> None:
    assert n_gram_entropy("so, so") == n_gram_entropy("a b a")
    assert n_gram_entropy("东京是首都") == pytest.approx(math.log2(4) / 3 + 2 * math.log2(3) / 3)


def test_sampled_texts_are_equally_long_and_drawn_from_the_five_most_probable(tiny_llama: Engine) -> None:
    questions = [Question(0, tuple(tiny_llama.text.prompt(prompt))) for prompt in PROMPTS]
    choose = sampler(tiny_llama, [(prompt, "", 0) for prompt in PROMPTS], 10)
    drawn: list[list[int]] = [[] for _ in PROMPTS]
    ranks: list[int] = []

    def record(logits: torch.Tensor, numbers: list[int], step: int) -> torch.Tensor:
        # The end token is made the likeliest of all, and must not be chosen.
        logits = logits.clone()
        logits[:, list(end_tokens(tiny_llama.model, tiny_llama.text))] = 1e4
        tokens = choose(logits, numbers, step)
        for row, (number, token) in enumerate(zip(numbers, tokens.tolist(), strict=True)):
            drawn[number].append(token)
            ranks.append(int((logits[row] > logits[row, token]).sum()))
        return tokens

    tiny_llama.ask(None, questions, Decoding(10, ()), record)
    assert {len(tokens) for tokens in drawn} == {10}
    assert set(ranks) == {1, 2, 3, 4, 5}, "the first place is the end token's"


def test_draws_follow_the_probabilities(tiny_llama: Engine) -> None:
    logits = torch.log(torch.tensor([0.5, 0.3, 0.1, 0.06, 0.03, 0.01])).expand(4000, 6)
    padded = torch.cat([torch.full((4000, 3), -1e9), logits], 1)
    choose = sampler(tiny_llama, [(str(n), "", 0) for n in range(4000)], 1)
    counts = torch.bincount(choose(padded, range(4000), 0), minlength=9)[3:8].numpy()
    shares = torch.tensor([0.5, 0.3, 0.1, 0.06, 0.03]) / 0.99
    assert stats.chisquare(counts, 4000 * shares.double().numpy() / float(shares.double().sum())).pvalue > 1e-3


def test_words_of_every_script_count() -> None:
    # Three different words each: one trigram, two bigrams.
    for text in ("Việt Nam đẹp", "საქართველო არის აქ", "서울은 큰 도시"):
        assert n_gram_entropy(text) == pytest.approx(1 / 3)
    # By the character: five bigrams and four trigrams, all different.
    assert n_gram_entropy("東京は大きい") == pytest.approx(math.log2(5) / 3 + 2 * math.log2(4) / 3)
