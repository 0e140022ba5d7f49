"""Which methods there are, and how one is made from its settings.

A method is one file with a :func:`register`-ed subclass of :class:`~baft.methods.base.Method`: in this package, under the
name of the file, or a user's own anywhere, which is named by its path.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from baft.config.method_files import check_method, in_file, load_file, shipped_methods
from baft.config.methods import checked_settings
from baft.errors import UserError
from baft.methods.base import Method
from baft.methods.settings import MethodSettings

_REGISTRY: dict[str, type[Method]] = {}

M = TypeVar("M", bound=type[Method])


def register(method: M) -> M:
    """Makes a method known by its ``name``. Raises UserError if another file has a method of that name.

    A class of a notebook or a console is in no file: it is used by itself, and need not be known.
    """
    name, place = method.name, _file_of(method)
    if place is None:
        return method
    taken = _file_of(_REGISTRY[name]) if name in _REGISTRY else _shipped_file(name)
    if taken is not None and taken != place:
        raise UserError(f"{place} has a method of the name '{name}', which {taken} has: give it another name.")
    _REGISTRY[name] = method
    return method


def methods() -> Mapping[str, type[Method]]:
    """Every method of this package, by name."""
    return {name: load_method(name) for name in shipped_methods()}


def load_method(method: str) -> type[Method]:
    """The class of a method: one of this package by its name, a user's by the path of its file.

    Raises UserError if there is none, or if the file does not hold exactly one.
    """
    check_method(method)
    if not in_file(method):
        importlib.import_module(f"baft.methods.{method}")
        return _REGISTRY[method]
    let_import_neighbours(Path(method))
    module = load_file(Path(method))
    own = [
        kind
        for kind in _REGISTRY.values()
        if kind in vars(module).values() and _file_of(kind) == Path(method).resolve()
    ]
    if len(own) != 1:
        raise UserError(f"{method} must hold one method, a class under @register, but holds {len(own)}.")
    return own[0]


def create(method: str, settings: Mapping[str, Any] | MethodSettings) -> Method:
    """A method, by name or by the path of its file, with its settings.

    Raises UserError naming the unknown method or the wrong setting.
    """
    kind = load_method(method)
    return kind(settings if isinstance(settings, MethodSettings) else checked_settings(method, settings))


def let_import_neighbours(path: Path) -> None:
    """Makes the modules beside a user's file ones that it can import."""
    # Last, so that no module of the program is mistaken for one of them.
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)


def _file_of(method: type[Method]) -> Path | None:
    try:
        return Path(inspect.getfile(method))
    except (TypeError, OSError):
        return None


def _shipped_file(name: str) -> Path | None:
    return Path(__file__).with_name(f"{name}.py") if name in shipped_methods() else None
