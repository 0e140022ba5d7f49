"""What a loaded model is: one fingerprint of everything in it that decides what it says.

A saved edit carries it, since deltas mean nothing to other weights. A model in a folder has a cheaper one, of its files
(:mod:`baft.models.files`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from baft.errors import UserError

# Of a config: where it came from, who reads it, and what only other users of the model look at.
_NO_MATTER = {
    *("_name_or_path", "_commit_hash", "_attn_implementation", "_experts_implementation", "transformers_version"),
    *("architectures", "auto_map", "dtype", "torch_dtype", "use_cache", "pad_token_id", "problem_type"),
    *("id2label", "label2id", "return_dict", "output_attentions", "output_hidden_states"),
}

_SAMPLE = ("The capital of France is Paris.", " 3.14 + C# \t{}\n", "\u00e9\u4e2d\u6587\u0e44\u0e17\u0e22\U0001f600")


def identity_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256, first 16 hex digits, of a model's weights as loaded, its config and its tokenizer with its chat template.

    The number format is part of it; the device, padding and where the model was loaded from are not. All weights are
    read, about a second for each 0.8 GB. Raises UserError if some are not in memory.
    """
    told = {
        "class": type(model).__name__,
        "config": _settings(model.config.to_dict()),
        "ends": [getattr(part, "eos_token_id", None) for part in (model.generation_config, tokenizer)],
        "tokenizer": _tokenizer(tokenizer),
        "template": tokenizer.chat_template,
    }
    digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode("utf-8", "surrogatepass"))
    for part in _weights(model):
        digest.update(part)
    return digest.hexdigest()[:16]


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        str(key): _settings(value) if isinstance(value, Mapping) else value
        for key, value in config.items()
        if key not in _NO_MATTER
    }


def _weights(model: nn.Module) -> Iterator[bytes | memoryview]:
    """Names, shapes, number formats and bytes of everything that is saved of a model; tied weights once."""
    first: dict[tuple[int, tuple[int, ...]], str] = {}
    for name, tensor in sorted(model.state_dict().items()):
        if tensor.is_meta:
            raise UserError(f"The weight {name} is not in memory: load the whole model before it is edited.")
        same = first.setdefault((tensor.data_ptr(), tuple(tensor.shape)), name)
        yield f"{name}\0{same}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode()
        if same == name:
            yield _bytes(tensor)


def _bytes(tensor: Tensor) -> memoryview:
    # A tensor without dimensions cannot be viewed as bytes.
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def _tokenizer(tokenizer: PreTrainedTokenizerBase) -> dict[str, object]:
    """A tokenizer's own description where it has one, and its vocabulary; what it does to a sample besides."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = json.loads(backend.to_str()) if backend is not None else {"vocabulary": tokenizer.get_vocab()}
    # Set by the last call, and no part of what a text's tokens are.
    rules = {key: value for key, value in rules.items() if key not in ("padding", "truncation")}
    return {"rules": rules, "sample": [tokenizer(text).input_ids for text in _SAMPLE]}
