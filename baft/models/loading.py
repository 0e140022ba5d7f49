"""Loading models and tokenizers: the one place where it is done, so that no other runs code from a folder."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from baft.config import ModelConfig
from baft.errors import UserError, first_line
from baft.models.prepare import unchanged

GPUS = "BAFT_GPUS"
"""Environment variable of a study's jobs: how many GPUs each was given."""

_SAMPLE = "The capital of France is Paris."

# Causal masks and tables of positions that older versions of transformers saved with the weights; nothing is lost with them.
_DERIVED = re.compile(r"(^|\.)(attn|attention|self_attn)\.(bias|masked_bias)$|rotary_emb|inv_freq$|position_ids$")


def load_model(config: ModelConfig, folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model that was prepared in ``folder``, in the config's dtype on its device or devices, and its tokenizer.

    Raises UserError as :func:`load_prepared` does.
    """
    loaded = load_prepared(config, folder)
    return loaded.model, loaded.tokenizer


@dataclass(frozen=True)
class Loaded:
    """A model, its tokenizer, and the fingerprint of the files that both were read from, with their commit on the hub."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    fingerprint: str
    commit: str = ""


def load_prepared(config: ModelConfig, folder: Path) -> Loaded:
    """What :func:`load_model` gives, and what it was.

    Raises UserError if it is another model than the config's, if it has changed since it was prepared, and as
    :func:`load_folder` does.
    """
    before = unchanged(config, folder)
    model, tokenizer = load_folder(config, before.place)
    if unchanged(config, folder) != before:
        raise UserError(f"The model in {folder} was prepared anew while it was loaded: start the run again.")
    return Loaded(model, tokenizer, before.fingerprint, before.commit)


def load_folder(config: ModelConfig, place: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model in a folder of the hub's layout, as the config says it is run, and its tokenizer.

    Raises UserError if a file is missing, broken or incomplete, if the weights and the config do not belong together, if
    the GPUs have no room for all of it, or if the job was given GPUs that it cannot use.
    """
    _refuse_idle_gpus(config)
    _refuse_adapter(place)
    tokenizer = load_tokenizer(place, trust_remote_code=config.trust_remote_code)
    arguments: dict[str, Any] = {"dtype": getattr(torch, config.dtype), "output_loading_info": True}
    if config.attention is not None:
        arguments["attn_implementation"] = config.attention
    if config.device_map is not None:
        arguments["device_map"] = config.device_map
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            place, local_files_only=True, trust_remote_code=config.trust_remote_code, **arguments
        )
    # A damaged file makes the library fail in any way whatever.
    except Exception as error:
        raise UserError(f"The model in {place} cannot be loaded: {first_line(error)}") from error
    model, report = loaded
    _check_complete(model, report, place)
    if config.device_map is None:
        model.to(device_of(config))
    else:
        _check_spread(getattr(model, "hf_device_map", {}))
    return model, tokenizer


def load_tokenizer(place: Path, *, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder of the hub's layout.

    It puts the beginning-of-text token first if its config says ``add_bos_token: true``, which the library does not read.
    Raises UserError if there is none or it cannot be loaded; the folder's own code is not run unless that is asked for.
    """
    try:
        # Left open, `trust_remote_code` would be asked for on standard input.
        found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            place, local_files_only=True, trust_remote_code=trust_remote_code
        )
        ids = list(found(_SAMPLE, add_special_tokens=False).input_ids)
    except Exception as error:
        if (place / "tokenizer.model").is_file() and not (place / "tokenizer.json").is_file():
            raise UserError(
                f"The tokenizer in {place} is a tokenizer.model alone, which takes sentencepiece or tiktoken, and this "
                "project installs neither: save a tokenizer.json beside it, in an environment that has both, by "
                f"`AutoTokenizer.from_pretrained({str(place)!r}).save_pretrained({str(place)!r})`."
            ) from error
        raise UserError(f"The tokenizer in {place} cannot be loaded: {first_line(error)}") from error
    # Without files the library makes an empty tokenizer, which reads nothing, or unknown tokens alone.
    if set(ids) <= {found.unk_token_id}:
        raise UserError(f"{place} has no tokenizer (such as tokenizer.json): save the model's own in the same folder.")
    if _asks_for_bos(place) and found.bos_token_id not in (None, *found(_SAMPLE).input_ids[:1]):
        found.add_bos_token = True
    return found


def _asks_for_bos(place: Path) -> bool:
    try:
        said: Any = json.loads((place / "tokenizer_config.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and said.get("add_bos_token") is True


def _refuse_idle_gpus(config: ModelConfig) -> None:
    """Raises UserError if this job holds GPUs and would compute on its CPU, as ``auto`` does where CUDA cannot be used."""
    given = os.environ.get(GPUS, "")
    if config.device == "cpu" or not given.isdecimal() or int(given) == 0 or torch.cuda.is_available():
        return
    if torch.version.cuda is None and torch.version.hip is None:
        why = "torch is a CPU-only build: remove .venv and run 'make install TORCH=cuda'"
    else:
        why = f"CUDA cannot be used on {platform.node()}: see there what 'nvidia-smi' says"
    raise UserError(
        f"The job was given GPUs (resources.gpu is {given}), but {why}, or give the model `device: cpu` and `gpu: 0`."
    )


def _refuse_adapter(place: Path) -> None:
    if (place / "adapter_config.json").is_file():
        raise UserError(
            f"{place} holds an adapter (adapter_config.json), whose weights may or may not be loaded with the model's: "
            "merge it into them and save the model by itself."
        )


def _check_complete(model: PreTrainedModel, report: Mapping[str, Any], place: Path) -> None:
    """Raises UserError unless the folder has the weights of the model that its config describes, and no others."""
    # What a file lacks is drawn at random by the library.
    if lacking := sorted(report["missing_keys"]):
        raise UserError(f"The model in {place} lacks {len(lacking)} of its weights, {lacking[0]} among them.")
    # A value head or a picture encoder is no part of the language model; another block or a bias is.
    parts = {name for module in (model, model.base_model) for name, _ in module.named_children()}
    if bad := [name for name, weight in model.named_parameters() if not _finite(weight)]:
        raise UserError(
            f"The model in {place} has numbers that are not finite (NaN or infinity) in {len(bad)} of its weights, {bad[0]} "
            "among them: the file is damaged, or the model was trained to nothing."
        )
    over = [key for key in report["unexpected_keys"] if key.partition(".")[0] in parts and not _DERIVED.search(key)]
    if over:
        raise UserError(
            f"The model in {place} has {len(over)} weights that its config.json knows nothing of, {min(over)} among them: "
            "the config is of another model, or has too few layers."
        )


def _finite(weight: torch.Tensor) -> bool:
    # The sum is quicker to look at; should it be too large for its number format, each number decides.
    return bool(weight.sum().isfinite()) or bool(weight.isfinite().all())


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
