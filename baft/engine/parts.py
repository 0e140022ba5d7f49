"""Parts of an edit: tensors of many streams beside plain values, which can be selected, saved and checked.

A part is a frozen dataclass. Its tensor fields have the streams as their first dimension; its other fields are plain values.
Every kind of part is known by its class name, so that a saved edit can name it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self, get_type_hints

from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from baft.engine.positions import Where, describe_where, parse_where
from baft.engine.rows import chosen
from baft.engine.sites import Site
from baft.errors import UserError


class Unreadable(ValueError):
    """What is wrong with something saved, as the end of a sentence."""


_KINDS: dict[str, type[Part]] = {}

_PACKAGE = __name__.partition(".")[0] + "."


@dataclass(frozen=True)
class Part:
    """Base of all parts. ``shapes`` describes each tensor field by the names of its dimensions, ``S`` first.

    Within one part equal names are equal sizes; ``i`` and ``o`` are the input and output width of the part's site. A saved
    edit is checked against it.
    """

    shapes: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls) -> None:
        known = _KINDS.get(cls.__name__)
        if known is not None and known.__module__ != cls.__module__:
            raise UserError(
                f"{cls.__module__} defines {cls.__name__}, which {known.__module__} has already: give it another name, "
                "since saved edits name their parts by it."
            )
        _KINDS[cls.__name__] = cls

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name, each (S, …)."""
        return {f.name: value for f in fields(self) if isinstance(value := getattr(self, f.name), Tensor)}

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> Self:
        """The same part with other tensors."""
        return replace(self, **tensors)

    def select(self, streams: Tensor) -> Self:
        """Those of some streams, in the order given."""
        return self.with_tensors({name: chosen(t, streams) for name, t in self.tensors().items()})

    def stored(self) -> list[Tensor]:
        """Tensors (S, …) whose numbers other than 0 an edited model needs: all, unless a subclass says otherwise."""
        return list(self.tensors().values())

    def described(self) -> dict[str, Any]:
        """JSON-able: the kind, the module that defines it, and the plain values."""
        tensors = self.tensors()
        plain = {f.name: _packed(getattr(self, f.name)) for f in fields(self) if f.name not in tensors}
        return {"kind": type(self).__name__, "module": type(self).__module__, "values": plain}


def kind_of(described: Mapping[str, Any]) -> type[Part]:
    """The class that :meth:`Part.described` names.

    Only modules of this package are imported for it: a saved edit must not choose the code that is run. Raises
    :class:`Unreadable` if the kind is unknown.
    """
    name, module = str(described["kind"]), str(described["module"])
    if name not in _KINDS and module.startswith(_PACKAGE):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise Unreadable(f"it names the module {module!r}, which this version does not have") from error
    kind = _KINDS.get(name)
    if kind is None:
        raise Unreadable(
            f"its part {name!r} comes from a method outside the package: name that method's file, as in "
            "baft.EditedModel.load(…, method='mine.py')"
        )
    return kind


def tensor_fields(kind: type[Part]) -> tuple[str, ...]:
    """Names of the tensor fields of a kind."""
    hints = get_type_hints(kind)
    return tuple(f.name for f in fields(kind) if hints[f.name] is Tensor)


def rebuilt(kind: type[Part], values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Part:
    """A part from what was saved of it. Raises :class:`Unreadable` if a field is missing, unknown or of another type."""
    names = tensor_fields(kind)
    plain = {f.name for f in fields(kind)} - set(names)
    if missing := (plain - values.keys()) | (set(names) - tensors.keys()):
        raise Unreadable(f"{kind.__name__} lacks {min(missing)!r}")
    if strange := (values.keys() - plain) | (tensors.keys() - set(names)):
        raise Unreadable(f"{kind.__name__} has {min(strange)!r}, which it does not know")
    hints = get_type_hints(kind)
    try:
        checked = {name: TypeAdapter(hints[name]).validate_python(_unpacked(value)) for name, value in values.items()}
        return kind(**checked, **tensors)
    except ValidationError as error:
        first = error.errors()[0]
        raise Unreadable(f"the values of {kind.__name__} are not what they must be: {first['msg']}") from error
    except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        raise Unreadable(f"the values of {kind.__name__} are not what they must be: {error}") from error


def _packed(value: Any) -> Any:
    if isinstance(value, Where):
        return describe_where(value)
    if isinstance(value, Site):
        return {"site": str(value)}
    return [_packed(one) for one in value] if isinstance(value, (tuple, list)) else value


def _unpacked(value: Any) -> Any:
    if isinstance(value, dict):
        return Site.parse(value["site"]) if "site" in value else parse_where(value)
    return tuple(_unpacked(one) for one in value) if isinstance(value, list) else value
