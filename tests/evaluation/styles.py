"""Tokenizers in the styles of Llama, GPT-2 and Gemma, trained on a handful of texts, and tiny models for them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from baft.engine.engine import Engine
from tests.engine.tiny import CONFIGS

STYLES = {"llama": "llama", "gpt2": "gpt2", "gemma": "gemma2"}
"""Kind of model by style; the last caps its logits after the head."""

_SPECIAL = ["<unk>", "<s>", "</s>"]


def tokenizer(style: str, texts: Iterable[str]) -> hf.PreTrainedTokenizerFast:
    """``llama`` and ``gemma`` begin a text with a token and write a space as ▁, the former before the first word too.

    ``gpt2`` splits bytes, has no first token, and pads with its end token.
    """
    bytewise = style == "gpt2"
    raw = Tokenizer(models.BPE(unk_token=None if bytewise else "<unk>"))
    if bytewise:
        raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        raw.decoder = decoders.ByteLevel()
    else:
        steps = [normalizers.Replace(" ", "▁")]
        raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), *steps] if style == "llama" else steps)
        raw.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
        raw.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
    alphabet = pre_tokenizers.ByteLevel.alphabet() if bytewise else []
    raw.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=700, special_tokens=_SPECIAL, initial_alphabet=alphabet)
    )
    if not bytewise:
        raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    names = {"eos_token": "</s>", "pad_token": "</s>"} if bytewise else {"bos_token": "<s>", "eos_token": "</s>"}
    return hf.PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>", **names)


def engine(style: str, text: hf.PreTrainedTokenizerFast, budget: int = 600) -> Engine:
    """A random model of the style's kind, float32."""
    ids = {"pad_token_id": None, "eos_token_id": text.eos_token_id, "bos_token_id": text.bos_token_id}
    config = CONFIGS[STYLES[style]](vocab_size=len(text), **ids)
    if style == "gemma":
        config.final_logit_softcapping = 10.0
    torch.manual_seed(4)
    return Engine.of(hf.AutoModelForCausalLM.from_config(config), text, token_budget=budget)
