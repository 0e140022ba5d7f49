from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers as hf

from baft.errors import UserError
from baft.models.identity import identity_of
from tests.engine.tiny import engine

Model = hf.PreTrainedModel
Tokenizer = hf.PreTrainedTokenizerBase


@pytest.fixture
def pair() -> tuple[Model, Tokenizer]:
    tiny = engine("llama")
    return copy.deepcopy(tiny.model.model), copy.deepcopy(tiny.text.tokenizer)


def one_weight(model: Model, tokenizer: Tokenizer) -> None:
    model.model.layers[1].mlp.down_proj.weight.data[3, 5] += 1e-6


def two_swapped(model: Model, tokenizer: Tokenizer) -> None:
    weight = model.model.layers[1].mlp.down_proj.weight.data
    weight[[0, 1]] = weight[[1, 0]]


def rotary_base(model: Model, tokenizer: Tokenizer) -> None:
    model.config.rope_parameters = model.config.rope_parameters | {"rope_theta": 500.0}


def end(model: Model, tokenizer: Tokenizer) -> None:
    model.generation_config.eos_token_id = [1, 2]


def template(model: Model, tokenizer: Tokenizer) -> None:
    tokenizer.chat_template = "{{ messages[0].content }}"


def another_token(model: Model, tokenizer: Tokenizer) -> None:
    tokenizer.add_tokens(["Bucharest"])


def number_format(model: Model, tokenizer: Tokenizer) -> None:
    model.to(torch.bfloat16)


@pytest.mark.parametrize(
    "change",
    [one_weight, two_swapped, rotary_base, end, template, another_token, number_format],
    ids=lambda f: f.__name__,
)
def test_what_decides_what_a_model_says_changes_its_identity(
    pair: tuple[Model, Tokenizer], change: Callable[[Model, Tokenizer], None]
) -> None:
    before = identity_of(*pair)
    assert len(before) == 16 and int(before, 16) >= 0
    change(*pair)
    assert identity_of(*pair) != before


def test_what_is_set_on_the_way_does_not(pair: tuple[Model, Tokenizer]) -> None:
    model, tokenizer = pair
    before = identity_of(model, tokenizer)
    tokenizer("Paris is", padding="max_length", max_length=9, truncation=True)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    model.config.pad_token_id = 1
    model.config.use_cache = not model.config.use_cache
    model.requires_grad_(False).train(False)
    assert identity_of(model, tokenizer) == before


@pytest.mark.parametrize("kind", ["llama", "gemma3_text", "gpt2", "gpt_neox"])
def test_a_model_is_itself_after_it_was_saved_and_loaded(kind: str, tmp_path: Path) -> None:
    tiny = engine(kind)
    tiny.model.model.save_pretrained(tmp_path)
    tiny.text.tokenizer.save_pretrained(tmp_path)
    loaded = hf.AutoModelForCausalLM.from_pretrained(tmp_path), hf.AutoTokenizer.from_pretrained(tmp_path)
    assert identity_of(*loaded) == identity_of(tiny.model.model, tiny.text.tokenizer)


def test_weights_that_are_not_there_are_told() -> None:
    with torch.device("meta"):
        hollow = hf.AutoModelForCausalLM.from_config(engine("llama").model.model.config)
    with pytest.raises(UserError, match="is not in memory"):
        identity_of(hollow, engine("llama").text.tokenizer)
