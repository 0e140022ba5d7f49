"""A digest of the source code that a job runs, so that a change of the code reruns the jobs it concerns.

Snakemake sees a rule's command and parameters but not the package behind them. The digest covers the modules that a
job's entry point imports, directly or not; it is found by reading the import statements, without importing anything.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]

# What these decide reaches a job through its parameters, so a change of their code alone changes no result.
_NOT_FOLLOWED = ("baft.config", "baft.cli")


Module = str | Path
"""A module by its name, or a user's file by its path."""


class _Own(NamedTuple):
    """A file of a user's, and the folder from which all that belong to the same method or editor import one another."""

    file: Path
    top: Path


_Found = str | _Own


def source_digest(*modules: Module, files: tuple[Path, ...] = (), root: Path = ROOT) -> str:
    """SHA-256, first 16 hex digits, over the given modules, all they import from ``baft``, and ``files``.

    A user's file may import its neighbours too, which are then part of the digest, with all that these import.
    """
    paths = {path for module in _closure(modules, root) if (path := _path(module, root))} | set(files)
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(str(path.relative_to(root) if path.is_relative_to(root) else path.name).encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def shipped_source(*modules: str | Path) -> str:
    """Digest of the code behind a job that reads the project's own texts and facts, with those."""
    return source_digest(*modules, files=tuple(sorted((ROOT / "resources").glob("**/*.*"))))


def page_source(module: str) -> str:
    """Digest of the code behind a page, with its templates and the captions."""
    files = [*(ROOT / "baft/report/page/templates").glob("*"), *(ROOT / "workflow/report").glob("*.rst")]
    return source_digest(module, files=tuple(sorted(files)))


def _closure(modules: Iterable[Module], root: Path) -> set[_Found]:
    """The modules and all that they import from the package, or from beside a user's file."""
    seen: set[_Found] = set()
    ahead = [module if isinstance(module, str) else _given(module) for module in modules]
    while ahead:
        module = ahead.pop()
        if module not in seen and not (isinstance(module, str) and module.startswith(_NOT_FOLLOWED)):
            seen.add(module)
            ahead.extend(_imports(module, root))
    return seen


def _given(path: Path) -> _Own:
    # As it is run: what a link leads to, with the folder around that one on the path.
    file = path.resolve()
    return _Own(file, file.parent)


@functools.cache
def _path(module: _Found, root: Path) -> Path | None:
    if isinstance(module, _Own):
        return module.file
    base = root / Path(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@functools.cache
def _imports(module: _Found, root: Path) -> tuple[_Found, ...]:
    """Modules of the package named by the import statements of a module, with the packages around them; of a user's file
    its neighbours too."""
    path = _path(module, root)
    if path is None:
        return ()
    if isinstance(module, str):
        package = tuple(module.split(".")[: None if path.name == "__init__.py" else -1])
    else:
        package = path.parent.relative_to(module.top).parts
    names = _named(path, package)
    mine = [name.split(".") for name in names if name.split(".")[0] == "baft"]
    within = {".".join(parts[:length]) for parts in mine for length in range(1, len(parts) + 1)}
    return (*within, *(_neighbours(module.top, names) if isinstance(module, _Own) else ()))


def _named(path: Path, package: tuple[str, ...]) -> set[str]:
    """What the import statements of a module of ``package`` name: modules, and perhaps what is in them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (above, node.module) if part)
            names.update(".".join(part for part in (base, alias.name) if part) for alias in node.names)
    return names


def _neighbours(top: Path, names: Iterable[str]) -> Iterator[_Own]:
    """Files below ``top`` of those modules, and of the packages around them."""
    for name in names:
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            place = top.joinpath(*parts[:length])
            yield from (
                _Own(file, top)
                for file in (place.with_name(f"{place.name}.py"), place / "__init__.py")
                if file.is_file()
            )
