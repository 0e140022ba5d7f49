"""Names and order of methods and benchmarks in tables and figures: the same everywhere, whatever else is shown."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence

from baft.config.method_files import settings_class, shipped_methods
from baft.config.study import UNEDITED as UNEDITED
from baft.config.study import ZERO as ZERO
from baft.methods.settings import Family, MethodSettings

FLOORS = (UNEDITED, ZERO)
"""What is compared with no method: the model before any edit, and after one of zeros."""

# The order of families in tables and legends.
FAMILIES: tuple[Family, ...] = ("reference", "representation", "weights", "adapters", "memory", "context", "others")

# Heads of tables of teacher-forced scores alone.
HEADS = {"edit_success": "Success", "generality": "General.", "portability": "Portab.", "locality": "Locality"}

# KnowEdit's order; an embedded benchmark goes where the one it is modelled on goes.
BENCHMARKS = ("wiki_recent", "wiki_counterfact", "zsre", "counterfact", "wikibio", "convsent", "sanitation")


@functools.cache
def known_methods() -> Mapping[str, type[MethodSettings]]:
    """What the methods of this package say of themselves, by name: in the order of families, and by title in each."""
    found = {name: settings_class(name) for name in shipped_methods()}
    return dict(sorted(found.items(), key=lambda item: (FAMILIES.index(item[1].family), item[1].title.casefold())))


def method_name(label: str) -> str:
    """How a method's label is written: as the title of the method of that name, or else as it is."""
    known = known_methods()
    return (known[label].title or label) if label in known else label


def ordered_methods(labels: Iterable[str]) -> list[str]:
    """Each label once: names of methods in the order of :func:`known_methods`, then the others by name."""
    return _ordered(labels, tuple(known_methods()))


def ordered_benchmarks(labels: Iterable[str]) -> list[str]:
    """Each label once: those that contain a name in :data:`BENCHMARKS` in its order, then the others by name."""
    known = {label: next((name for name in BENCHMARKS if name in label), label) for label in set(labels)}
    places = {name: place for place, name in enumerate(BENCHMARKS)}
    return sorted(known, key=lambda label: (places.get(known[label], len(places)), label))


def _ordered(labels: Iterable[str], order: Sequence[str]) -> list[str]:
    places = {name: place for place, name in enumerate(order)}
    return sorted(set(labels), key=lambda label: (places.get(label, len(places)), label))
