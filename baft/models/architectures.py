"""Where the named modules are in each architecture.

The engine needs three things of a model: its list of blocks, the linear layer that ends each MLP, and the attention
projections that LoRA conventionally adapts (query and value, or the fused projection where there is one).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn
from transformers import PreTrainedModel

from baft.errors import UserError


@dataclass(frozen=True)
class Architecture:
    """Dotted names: ``blocks`` from the model, the others from one block.

    ``bos`` says that the model was trained with its beginning-of-text token before every prompt, so that it must be
    there whatever the tokenizer, or a chat template, does by itself.
    """

    blocks: str
    mlp_down: str
    attention: tuple[str, ...]
    bos: bool = False


_LLAMA = Architecture("model.layers", "mlp.down_proj", ("self_attn.q_proj", "self_attn.v_proj"))
_GEMMA = replace(_LLAMA, bos=True)

ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma": _GEMMA,
    "gemma2": _GEMMA,
    "gemma3_text": _GEMMA,
    "phi3": replace(_LLAMA, attention=("self_attn.qkv_proj",)),
    "gpt2": Architecture("transformer.h", "mlp.c_proj", ("attn.c_attn",)),
    "gptj": Architecture("transformer.h", "mlp.fc_out", ("attn.q_proj", "attn.v_proj")),
    "gpt_neox": Architecture("gpt_neox.layers", "mlp.dense_4h_to_h", ("attention.query_key_value",)),
}


def architecture_of(model: PreTrainedModel, modules: Mapping[str, object] | None = None) -> Architecture:
    """The module names of ``model``: the table's row for its type, overridden by the config's ``modules``.

    Raises :class:`UserError` naming the keys to give if the type is unknown, or the name that the model lacks.
    """
    kind = str(model.config.model_type)
    given = {key: value for key, value in dict(modules or {}).items() if value}
    base = ARCHITECTURES.get(kind)
    if base is None:
        missing = [key for key in ("blocks", "mlp_down", "attention") if key not in given]
        if missing:
            raise UserError(
                f"Unknown architecture '{kind}': give modules.{', modules.'.join(missing)} of this model in the config "
                f"(dotted module names, as in blocks: model.layers, mlp_down: mlp.down_proj, "
                f"attention: [self_attn.q_proj, self_attn.v_proj]); known are {', '.join(ARCHITECTURES)}."
            )
        base = _LLAMA
    if "attention" in given:
        given["attention"] = tuple(given["attention"])  # type: ignore[arg-type]
    architecture = replace(base, **given)  # type: ignore[arg-type]
    _check(model, architecture)
    return architecture


def blocks_of(model: nn.Module, architecture: Architecture) -> nn.ModuleList:
    """The model's blocks, in order."""
    blocks = model.get_submodule(architecture.blocks)
    assert isinstance(blocks, nn.ModuleList)
    return blocks


def _check(model: PreTrainedModel, architecture: Architecture) -> None:
    try:
        block = model.get_submodule(architecture.blocks)[0]  # type: ignore[index]
    except (AttributeError, TypeError) as error:
        raise UserError(
            f"modules.blocks: '{architecture.blocks}' is no list of blocks in this {model.config.model_type} model."
        ) from error
    for name in (architecture.mlp_down, *architecture.attention):
        try:
            block.get_submodule(name)
        except AttributeError as error:
            raise UserError(
                f"modules: '{name}' is no module of a block of this {model.config.model_type} model; it has "
                f"{', '.join(n for n, m in block.named_modules() if n and not list(m.children()))}."
            ) from error
