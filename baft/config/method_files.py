"""The files of methods: those of ``baft/methods``, and those that a user names by a path.

A user's method is a file beside the config: nothing is installed for it, and what it says is part of every digest of a job
that runs it. ``path/to/mine.py`` holds the method, and ``path/to/settings/mine.py`` its settings if it has any, as in
``baft/methods``.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from baft.config.messages import unknown
from baft.errors import UserError
from baft.methods.settings import MethodSettings

_SHIPPED = Path(__file__).resolve().parents[1] / "methods"


def shipped_methods() -> tuple[str, ...]:
    """Names of the methods in ``baft/methods``, sorted."""
    return tuple(sorted(path.stem for path in (_SHIPPED / "settings").glob("*.py") if not path.stem.startswith("_")))


def in_file(method: str) -> bool:
    """Whether a method is named by the path of its file, and not by its name."""
    return method.endswith(".py") or "/" in method


def sources_of(method: str, *settings: MethodSettings) -> tuple[str | Path, ...]:
    """The modules of a method and of its settings, or the files that a user gave for both; and those that ``settings``
    name."""
    named = tuple(dict.fromkeys(Path(file) for own in settings for file in own.files()))
    if in_file(method):
        own_files = (Path(method), _settings_file(Path(method)))
        return (*(path for path in own_files if path.is_file()), *named)
    return f"baft.methods.{method}", f"baft.methods.settings.{method}", *named


def check_method(method: str, place: str = "") -> None:
    """Raises UserError, naming ``place``, if there is no method of that name or no file at that path."""
    if in_file(method):
        if not Path(method).is_file():
            where = f"{place}.method" if place else "method"
            raise UserError(
                f"{where} is {method!r}, but must be a file that exists (looked for {Path(method).absolute()})."
            )
    elif method not in shipped_methods():
        known = (*shipped_methods(), "the path of a file such as ./mine.py")
        raise UserError(unknown("method", method, known, place=place))


def settings_class(method: str) -> type[MethodSettings]:
    """The class of a method's settings.

    Raises UserError if the method is unknown, or if a user's file of settings cannot be loaded or has no such class.
    """
    check_method(method)
    if not in_file(method):
        shipped: type[MethodSettings] = importlib.import_module(f"baft.methods.settings.{method}").Settings
        return shipped
    path = _settings_file(Path(method))
    if not path.is_file():
        return MethodSettings
    found = getattr(load_file(path), "Settings", None)
    if not (isinstance(found, type) and issubclass(found, MethodSettings)):
        raise UserError(f"{path} must hold the settings of {method}: a class Settings(MethodSettings).")
    return found


_LOADED: dict[Path, tuple[str, ModuleType]] = {}


def load_file(path: Path) -> ModuleType:
    """The module in a user's file, imported once for each content that it has.

    Raises UserError that names the line if the import fails.
    """
    place = path.resolve()
    content = hashlib.sha256(place.read_bytes()).hexdigest()
    if place in _LOADED and _LOADED[place][0] == content:
        return _LOADED[place][1]
    name = f"{place.stem}_{hashlib.sha256(str(place).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Before it runs: a dataclass looks its module up there.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except UserError:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        raise UserError(f"{path} cannot be imported: {_told(error, place)}.") from error
    _LOADED[place] = content, module
    return module


def _settings_file(path: Path) -> Path:
    return path.parent / "settings" / path.name


def _told(error: Exception, place: Path) -> str:
    """The error, and the last line of the file at ``place`` that led to it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(place)]
    line = error.lineno if isinstance(error, SyntaxError) else next(reversed(lines), None)
    what = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return what if line is None or isinstance(error, SyntaxError) else f"{what} (line {line})"
