"""A digest of the source code that a job runs, so that a change of the code reruns the jobs it concerns.

Snakemake sees a rule's command and parameters but not the package behind them. The digest covers the modules that a
job's entry point imports, directly or not; it is found by reading the import statements, without importing anything.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What these decide reaches a job through its parameters, so a change of their code alone changes no result.
_NOT_FOLLOWED = ("baft.config", "baft.cli")


def source_digest(*modules: str, files: tuple[Path, ...] = (), root: Path = ROOT) -> str:
    """SHA-256, first 16 hex digits, over the given modules, all they import from ``baft``, and ``files``.

    A module that does not exist stands for its parent package with everything in it: a method that is not in a file of
    its own name is somewhere in ``baft.methods``.
    """
    roots = [found for module in modules for found in _existing(module, root)]
    paths = {path for module in _closure(roots, root) if (path := _path(module, root))} | set(files)
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(str(path.relative_to(root) if path.is_relative_to(root) else path.name).encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _existing(module: str, root: Path) -> list[str]:
    if _path(module, root):
        return [module]
    package = module.rpartition(".")[0]
    folder = root / Path(*package.split("."))
    return [package, *(f"{package}.{path.stem}" for path in sorted(folder.glob("*.py")) if path.stem != "__init__")]


def _closure(modules: list[str], root: Path) -> set[str]:
    """The modules and all that they import from the package."""
    seen: set[str] = set()
    ahead = list(modules)
    while ahead:
        module = ahead.pop()
        if module not in seen and not module.startswith(_NOT_FOLLOWED):
            seen.add(module)
            ahead.extend(_imports(module, root))
    return seen


@functools.cache
def _path(module: str, root: Path) -> Path | None:
    base = root / Path(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@functools.cache
def _imports(module: str, root: Path) -> tuple[str, ...]:
    """Modules of the package named by the import statements of a module, with the packages around them."""
    path = _path(module, root)
    if path is None:
        return ()
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (above, node.module) if part)
            names.update([base, *(f"{base}.{alias.name}" for alias in node.names)])
    mine = [name.split(".") for name in names if name.split(".")[0] == package[0]]
    return tuple({".".join(parts[:length]) for parts in mine for length in range(1, len(parts) + 1)})
