"""A digest of the source code that a job runs, so that a change of the code reruns the jobs it concerns.

Snakemake sees a rule's command and parameters but not the package behind them. The digest covers the modules that a
job's entry point imports, directly or not; it is found by reading the import statements, without importing anything.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What these decide reaches a job through its parameters, so a change of their code alone changes no result.
_NOT_FOLLOWED = ("baft.config", "baft.cli")


Module = str | Path
"""A module by its name, or a user's file by its path."""


def source_digest(*modules: Module, files: tuple[Path, ...] = (), root: Path = ROOT) -> str:
    """SHA-256, first 16 hex digits, over the given modules, all they import from ``baft``, and ``files``.

    A user's file may import its neighbours too, which are then part of the digest.
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


def _closure(modules: Iterable[Module], root: Path) -> set[Module]:
    """The modules and all that they import from the package."""
    seen: set[Module] = set()
    ahead = list(modules)
    while ahead:
        module = ahead.pop()
        if module not in seen and not (isinstance(module, str) and module.startswith(_NOT_FOLLOWED)):
            seen.add(module)
            ahead.extend(_imports(module, root))
    return seen


@functools.cache
def _path(module: Module, root: Path) -> Path | None:
    if isinstance(module, Path):
        return module
    base = root / Path(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@functools.cache
def _imports(module: Module, root: Path) -> tuple[Module, ...]:
    """Modules of the package named by the import statements of a module, with the packages around them; of a user's file
    its neighbours too."""
    path = _path(module, root)
    if path is None:
        return ()
    names = _named(module, path)
    mine = [name.split(".") for name in names if name.split(".")[0] == "baft"]
    within = {".".join(parts[:length]) for parts in mine for length in range(1, len(parts) + 1)}
    return (*within, *(_neighbours(path, names) if isinstance(module, Path) else ()))


def _named(module: Module, path: Path) -> set[str]:
    """What the import statements of a module name: modules, and perhaps what is in them."""
    package = [] if isinstance(module, Path) else module.split(".")[: None if path.name == "__init__.py" else -1]
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (above, node.module) if part)
            names.update([base, *(f"{base}.{alias.name}" for alias in node.names)])
    return names


def _neighbours(path: Path, names: set[str]) -> list[Path]:
    """Files of those modules beside a user's file: a module, or a package with what it has."""
    found = []
    for name in names:
        parts = Path(*name.split("."))
        beside = (path.parent / parts.with_suffix(".py"), path.parent / parts / "__init__.py")
        found += [file for file in beside if file.is_file()]
    return found
