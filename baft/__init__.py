"""Benchmarking knowledge editing of language models, around BaFT (basis-level representation fine-tuning)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from baft.library import EditedModel, edit, load_model
    from baft.report.reading import read_records, read_results

__all__ = ["EditedModel", "edit", "load_model", "read_records", "read_results"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Imported on use: the workflow parses its config with this package and must not wait for torch.
    if name in ("EditedModel", "edit", "load_model"):
        from baft import library

        return getattr(library, name)
    if name in __all__:
        from baft.report import reading

        return getattr(reading, name)
    raise AttributeError(f"module 'baft' has no attribute {name!r}")
