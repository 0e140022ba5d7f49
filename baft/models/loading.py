"""Loading a prepared model onto its device."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from baft.config import ModelConfig
from baft.errors import UserError
from baft.models.prepare import read_card


def load_model(config: ModelConfig, folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model of a prepared ``folder`` in the config's dtype on its device, and its tokenizer."""
    place = folder / read_card(folder)["folder"]
    arguments = {"local_files_only": True, "trust_remote_code": config.trust_remote_code}
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, **arguments)
        model = AutoModelForCausalLM.from_pretrained(place, dtype=getattr(torch, config.dtype), **arguments)
    except (OSError, ValueError) as error:
        raise UserError(f"The model in {place} cannot be loaded: {str(error).splitlines()[0]}") from error
    model.to(device_of(config))  # type: ignore[arg-type]
    return model, tokenizer


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
