"""Random models of every architecture, small enough to run in milliseconds, and a tokenizer for them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import cache

import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from baft.engine.engine import Engine

SENTENCES = (
    "The capital of France is Paris, and the capital of Romania is Bucharest.",
    "Marie Curie was born in Warsaw. The author of the book is a Roman poet.",
    "Germany is a country in Europe. The mother tongue of Danielle Darrieux is French.",
)
PROMPTS = (
    "The capital of France is",
    "Marie Curie was born in",
    "The mother tongue of Danielle Darrieux, who was born in Bordeaux, is",
    "Paris is",
    "The author of the book, said to be the country's greatest living poet, is",
    "Germany is a country in",
    "Romania's capital is",
    "Warsaw is the capital of the country of",
)
SUBJECTS = ("France", "Marie Curie", "Danielle Darrieux", "Paris", "the book", "Germany", "Romania", "Warsaw")
TARGETS = ("Bucharest", "Rome", "German", "a poet", "Paris", "Asia", "Warsaw", "France")


@cache
def tokenizer(bos: bool = False) -> hf.PreTrainedTokenizerFast:
    """Byte-level BPE, so that every text has tokens and none is unknown."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<pad>", "<eos>", "<bos>"]
    raw.train_from_iterator(
        SENTENCES, trainers.BpeTrainer(vocab_size=340, special_tokens=special, initial_alphabet=alphabet)
    )
    named = {"bos_token": "<bos>"} if bos else {}
    return hf.PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="<eos>", **named)


def _llama_like(**more: object) -> dict[str, object]:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
    return {**sizes, "num_key_value_heads": 2, "max_position_embeddings": 512, "initializer_range": 0.2, **more}


_GPT = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 512, "initializer_range": 0.2}
_NEOX = {key: value for key, value in _llama_like().items() if key != "num_key_value_heads"}

CONFIGS: Mapping[str, Callable[..., hf.PretrainedConfig]] = {
    "llama": lambda **k: hf.LlamaConfig(**_llama_like(), **k),
    "mistral": lambda **k: hf.MistralConfig(**_llama_like(sliding_window=6), **k),
    "qwen2": lambda **k: hf.Qwen2Config(**_llama_like(), **k),
    "qwen3": lambda **k: hf.Qwen3Config(**_llama_like(head_dim=8), **k),
    "gemma": lambda **k: hf.GemmaConfig(**_llama_like(head_dim=8), **k),
    "gemma2": lambda **k: hf.Gemma2Config(**_llama_like(head_dim=8, sliding_window=6), **k),
    "gemma3_text": lambda **k: hf.Gemma3TextConfig(**_llama_like(head_dim=8, sliding_window=6), **k),
    "phi3": lambda **k: hf.Phi3Config(**_llama_like(), **k),
    "gpt2": lambda **k: hf.GPT2Config(**_GPT, **k),
    "gptj": lambda **k: hf.GPTJConfig(**_GPT, rotary_dim=4, **k),
    "gpt_neox": lambda **k: hf.GPTNeoXConfig(**_NEOX, **k),
}


@cache
def engine(kind: str, dtype: torch.dtype = torch.float32) -> Engine:
    """A frozen random model of an architecture, the same one every time, its float32 weights cast to ``dtype``."""
    text = tokenizer(kind.startswith("gemma"))
    ends = {"pad_token_id": text.pad_token_id, "eos_token_id": text.eos_token_id, "bos_token_id": text.bos_token_id}
    config = CONFIGS[kind](vocab_size=len(text), **ends)
    torch.manual_seed(1)
    return Engine.of(hf.AutoModelForCausalLM.from_config(config).to(dtype), text, token_budget=512)


@cache
def on_gpu(kind: str, dtype: torch.dtype) -> Engine:
    """The same model as :func:`engine` makes, on a GPU."""
    model = engine(kind, dtype).model.model
    return Engine.of(copy.deepcopy(model).to("cuda"), tokenizer(kind.startswith("gemma")), token_budget=512)
