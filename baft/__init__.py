"""Benchmarking knowledge editing of language models, around BaFT (basis-level representation fine-tuning)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from baft.edited import EditedModel
    from baft.library import edit, load_model, open_edit
    from baft.report.reading import read_records, read_results

__all__ = ["EditedModel", "edit", "load_model", "open_edit", "read_records", "read_results"]
__version__ = "0.1.0"

_HOMES = {
    "EditedModel": "baft.edited",
    "edit": "baft.library",
    "load_model": "baft.library",
    "open_edit": "baft.library",
    "read_records": "baft.report.reading",
    "read_results": "baft.report.reading",
}


def __getattr__(name: str) -> Any:
    # Imported on use: the workflow parses its config with this package and must not wait for torch.
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'baft' has no attribute {name!r}")
