from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
import transformers as hf

from baft.engine.asking import Decoding, Question
from baft.engine.engine import Engine
from baft.errors import UserError
from baft.models.architectures import architecture_of
from tests.engine.tiny import PROMPTS, engine, tokenizer

OPT = {"blocks": "model.decoder.layers", "mlp_down": "fc2", "attention": ["self_attn.q_proj", "self_attn.v_proj"]}


def opt(**more: Any) -> hf.PreTrainedModel:
    sizes = {"hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 48, "num_hidden_layers": 3, "init_std": 0.2}
    sizes |= {"num_attention_heads": 4, "max_position_embeddings": 64}
    torch.manual_seed(0)
    config = hf.OPTConfig(vocab_size=len(tokenizer()), **sizes | more)
    return hf.OPTForCausalLM(config).train(False)


@pytest.mark.parametrize("more", [{}, {"word_embed_proj_dim": 16, "do_layer_norm_before": False}])
def test_a_decoder_inside_the_base_model_answers_as_its_own_forward(more: dict[str, Any]) -> None:
    model = opt(**more)
    made = Engine.of(model, tokenizer(), architecture=architecture_of(model, OPT))
    answer = made.text.answer(PROMPTS[0], "Paris")
    for prompt in PROMPTS:
        ids = made.text.prompt(prompt)
        (reply,) = made.ask(None, [Question(0, tuple(ids), (tuple(answer),))], Decoding(0))
        logits = model(input_ids=torch.tensor([[*ids, *answer[:-1]]])).logits[0, len(ids) - 1 :].log_softmax(-1)
        expected = [float(row[token]) for row, token in zip(logits, answer, strict=True)]
        assert reply.forced[0].logprob == pytest.approx(expected, abs=1e-5)


class Doubled(hf.LlamaForCausalLM):
    """A model whose own forward does more than its base and its head."""

    def forward(self, input_ids: torch.Tensor, **more: Any) -> Any:
        if input_ids.shape[1] > 1:
            input_ids = input_ids.clone()
            input_ids[:, 1:] = input_ids[:, :-1].clone()
        return super().forward(input_ids=input_ids, **more)


class Skewed(hf.LlamaForCausalLM):
    """A model whose logits depend on how long the text is."""

    def forward(self, input_ids: torch.Tensor, **more: Any) -> Any:
        out = super().forward(input_ids=input_ids, **more)
        out.logits = out.logits * input_ids.shape[1]
        return out


@pytest.mark.parametrize("kind", [Doubled, Skewed])
def test_a_model_that_is_more_than_its_blocks_is_refused(kind: type[hf.PreTrainedModel]) -> None:
    torch.manual_seed(1)
    with pytest.raises(
        UserError, match=r"This llama model cannot be edited here: .* % off\); known to fit are llama,"
    ) as caught:
        Engine.of(kind(engine("llama").model.model.config), tokenizer())
    assert "\n" not in str(caught.value)


def test_a_model_without_a_cache_of_keys_is_refused() -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "pad_token_id": 0, "eos_token_id": 1}
    model = hf.MambaForCausalLM(hf.MambaConfig(vocab_size=len(tokenizer()), **sizes))
    names = {"blocks": "backbone.layers", "mlp_down": "mixer.out_proj", "attention": ["mixer.in_proj"]}
    with pytest.raises(UserError, match="This mamba model cannot be edited here"):
        Engine.of(model, tokenizer(), architecture=architecture_of(model, names))


def test_a_model_that_says_no_numbers_is_refused() -> None:
    torch.manual_seed(1)
    model = hf.LlamaForCausalLM(engine("llama").model.model.config)
    with torch.no_grad():
        model.model.norm.weight[3] = float("nan")
    with pytest.raises(UserError, match="logits are not finite numbers in float32"):
        Engine.of(model, tokenizer())


def test_a_model_that_cannot_be_run_is_refused() -> None:
    torch.manual_seed(1)
    model = hf.LlamaForCausalLM(engine("llama").model.model.config)
    model.model.layers[1].mlp.down_proj.weight = torch.nn.Parameter(torch.zeros(5, 5))
    with pytest.raises(UserError, match="The model cannot be run: RuntimeError"):
        Engine.of(model, tokenizer())


def test_a_pad_token_outside_the_embeddings_does_no_harm() -> None:
    tiny, padded = engine("llama"), deepcopy(tokenizer())
    padded.add_special_tokens({"pad_token": "[PAD]"})
    assert padded.pad_token_id >= tiny.model.vocabulary
    made = Engine.of(tiny.model.model, padded, token_budget=512)
    questions = [Question(0, tuple(tiny.text.prompt(prompt))) for prompt in PROMPTS]
    assert made.ask(None, questions, Decoding(4)) == tiny.ask(None, questions, Decoding(4))


def test_a_token_outside_the_embeddings_is_told() -> None:
    wide = deepcopy(tokenizer())
    wide.add_tokens(["Quito"])
    made = Engine.of(engine("llama").model.model, wide)
    with pytest.raises(UserError, match=r"makes token 340 of 'Quito is', and the model's embeddings have 340 rows"):
        made.text.prompt("Quito is")


def test_a_text_longer_than_the_positions_is_refused_and_one_that_fits_is_not() -> None:
    model = opt(max_position_embeddings=32)
    made = Engine.of(model, tokenizer(), architecture=architecture_of(model, OPT))
    ids = (5,) * 29
    # The last of four tokens is decoded and not read: 29 + 3.
    assert made.ask(None, [Question(0, ids)], Decoding(4, ()))
    with pytest.raises(UserError, match=r"takes 33 tokens .* reads at most 32"):
        made.ask(None, [Question(0, ids)], Decoding(5, ()))
    with pytest.raises(UserError, match="takes 33 tokens"):
        made.ask(None, [Question(0, ids, ((5,) * 5,))], Decoding(0))
