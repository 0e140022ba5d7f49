from __future__ import annotations

import pytest

from baft.engine.text import Text
from baft.errors import UserError
from tests.engine.tiny import tokenizer


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("The capital of France is", "Paris"),
        ("The capital of France is ", "Paris"),
        ("Question: who?\n", "Marie Curie"),
        ("法国的首都是", "巴黎"),
        ("I feel", "👩‍🔬 fine"),
        ("The author is", " a Roman poet"),
    ],
)
def test_prompt_and_answer_read_as_the_text(prompt: str, answer: str) -> None:
    text = Text(tokenizer())
    tokens = text.answer(prompt, answer)
    assert text.decode(tokens).strip() == answer.strip()
    whole = text.decode(text.prompt(prompt) + tokens)
    assert whole.startswith(prompt)
    assert whole.endswith(answer.strip())


def test_an_empty_answer_is_told() -> None:
    with pytest.raises(UserError, match="empty answer"):
        Text(tokenizer()).answer("The capital is", "  ")


@pytest.mark.parametrize(
    ("prompt", "part"),
    [
        ("The capital of France is", "France"),
        ("France, so France's capital is", "France"),
        ("The capital is France", "France"),
        ("法国的首都是", "法国"),
        ("What 👩‍🔬 said", "👩‍🔬"),
    ],
)
def test_the_last_token_of_a_part_ends_it(prompt: str, part: str) -> None:
    text = Text(tokenizer())
    at = text.last_token_of(prompt, part)
    assert at is not None
    ids = text.prompt(prompt)
    upto = prompt.rindex(part) + len(part)
    # No earlier token completes the part.
    assert len(text.decode(ids[: at + 1])) >= upto
    assert text.decode(ids[:at]) != prompt[:upto]
    assert not text.decode(ids[:at]).startswith(prompt[:upto])


def test_a_part_that_is_not_there_has_no_token() -> None:
    assert Text(tokenizer()).last_token_of("The capital is", "France") is None
    assert Text(tokenizer()).last_token_of("The capital is", "") is None


def test_the_token_of_the_beginning_comes_once_and_first() -> None:
    text = Text(tokenizer(bos=True), bos=True)
    begin = text.tokenizer.bos_token_id
    assert text.prompt("Paris is").count(begin) == 1
    assert text.prompt("Paris is")[0] == begin
    assert begin not in text.answer("Paris is", "Rome")
    assert text.last_token_of("Paris is", "Paris") == len(text.prompt("Paris")) - 1


def test_formats_that_the_tokenizer_lacks_are_told() -> None:
    with pytest.raises(UserError, match="chat template"):
        Text(tokenizer(), "chat")
    with pytest.raises(UserError, match="beginning-of-text"):
        Text(tokenizer(), bos=True)
