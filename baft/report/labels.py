"""Names and order of methods and benchmarks in tables and figures: the same everywhere, whatever else is shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from baft.config.study import UNEDITED as UNEDITED
from baft.config.study import ZERO as ZERO

FLOORS = (UNEDITED, ZERO)
"""What is compared with no method: the model before any edit, and after one of zeros."""

METHODS = {
    UNEDITED: "Unedited",
    ZERO: "Zero edit",
    "baft": "BaFT",
    "reft": "ReFT",
    "ft_l": "FT-L",
    "ft_m": "FT-M",
    "lora": "LoRA",
    "adalora": "AdaLoRA",
    "roselora": "RoseLoRA",
    "rome": "ROME",
    "rome_c": "ROME (C)",
    "memit": "MEMIT",
    "alphaedit": "AlphaEdit",
    "grace": "GRACE",
    "wise": "WISE",
    "melo": "MELO",
    "in_context": "In context",
}

# Heads of tables of teacher-forced scores alone.
HEADS = {"edit_success": "Success", "generality": "General.", "portability": "Portab.", "locality": "Locality"}

# KnowEdit's order; an embedded benchmark goes where the one it is modelled on goes.
BENCHMARKS = ("wiki_recent", "wiki_counterfact", "zsre", "counterfact", "wikibio", "convsent", "sanitation")


def method_name(label: str) -> str:
    """How a method's label is written; a label that is not known is its own name."""
    return METHODS.get(label, label)


def ordered_methods(labels: Iterable[str]) -> list[str]:
    """Each label once: known ones in the order of :data:`METHODS`, then the others by name."""
    return _ordered(labels, tuple(METHODS))


def ordered_benchmarks(labels: Iterable[str]) -> list[str]:
    """Each label once: those that contain a name in :data:`BENCHMARKS` in its order, then the others by name."""
    known = {label: next((name for name in BENCHMARKS if name in label), label) for label in set(labels)}
    places = {name: place for place, name in enumerate(BENCHMARKS)}
    return sorted(known, key=lambda label: (places.get(known[label], len(places)), label))


def _ordered(labels: Iterable[str], order: Sequence[str]) -> list[str]:
    places = {name: place for place, name in enumerate(order)}
    return sorted(set(labels), key=lambda label: (places.get(label, len(places)), label))
