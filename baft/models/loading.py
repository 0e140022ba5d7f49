"""Loading a prepared model onto its device."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from baft.config import ModelConfig
from baft.errors import UserError
from baft.models.prepare import first_line, read_card


def load_model(config: ModelConfig, folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model of a prepared ``folder`` in the config's dtype on its device or devices, and its tokenizer.

    Raises UserError if a file is missing, broken or incomplete, or if the GPUs have no room for all of it.
    """
    place = folder / read_card(folder)["folder"]
    arguments: dict[str, Any] = {"local_files_only": True, "trust_remote_code": config.trust_remote_code}
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, **arguments)
        arguments |= {"dtype": getattr(torch, config.dtype), "output_loading_info": True}
        if config.attention is not None:
            arguments["attn_implementation"] = config.attention
        if config.device_map is not None:
            arguments["device_map"] = config.device_map
        loaded: Any = AutoModelForCausalLM.from_pretrained(place, **arguments)
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        raise UserError(f"The model in {place} cannot be loaded: {first_line(error)}") from error
    model, report = loaded
    # What a file lacks is drawn at random by the library.
    if lacking := sorted(report["missing_keys"]):
        raise UserError(f"The model in {place} lacks {len(lacking)} of its weights, {lacking[0]} among them.")
    if config.device_map is None:
        model.to(device_of(config))
    else:
        _check_spread(getattr(model, "hf_device_map", {}))
    return model, tokenizer


def _check_spread(places: Mapping[str, object]) -> None:
    """``places`` of the parts of a model: all on GPUs, or all in the main memory of a machine without one."""
    outside = [part for part, place in places.items() if place in ("cpu", "disk")]
    if outside and len(set(places.values())) > 1:
        raise UserError(
            f"The GPUs of this job have no room for {len(outside)} of the model's {len(places)} parts, {outside[0]} among "
            "them: give it more (models.LABEL.resources.gpu)."
        )


def device_of(config: ModelConfig) -> torch.device:
    """The device that a config asks for; ``auto`` takes an accelerator where there is one."""
    if config.device != "auto":
        if config.device == "cuda" and not torch.cuda.is_available():
            raise UserError("device: cuda, but this machine has no usable GPU; give auto or cpu.")
        return torch.device(config.device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    """The name of the accelerator or processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "cpu"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "cpu")
