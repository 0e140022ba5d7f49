"""Where a result file comes from: enough to trace a number, and to refuse to average it with one it cannot join."""

from __future__ import annotations

import functools
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from baft.errors import UserError

PACKAGES = ("baft", "torch", "transformers", "tokenizers", "safetensors", "numpy", "scipy", "pandas", "pyarrow")

LIBRARIES = ("torch", "transformers", "tokenizers")
"""Those that a model's numbers come from."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What must agree between the numbers of one table.

    ``model`` is the model's fingerprint, ``protocol`` how records became streams (settings, not the label), ``method``
    the method's settings as run, ``benchmark`` its name, ``revision`` and ``sha256`` what file it was read from,
    ``template_date`` the day that a chat template was told (empty without one), ``evaluation`` how the models were
    questioned, ``records`` and ``rejected`` how many of its records were run and how many could not be used. ``threads`` are
    the CPU threads that the job used: the order of a processor's sums, and so their rounding, depends on them. Tables state
    them and allow different ones, for a scheduler with fewer cores than a study asks for gives its jobs fewer threads.
    ``bos`` says whether prompts began with the beginning-of-text token, and ``attention`` which implementation the config
    asks for, empty for transformers' own choice; both are None in older files. None is unknown, and differs from nothing.
    ``libraries`` are the versions of :data:`LIBRARIES` that jobs ran with, which tables state where they differ.
    ``commit`` is the hub's commit of the model, of which ``model`` has the content; empty for a model from elsewhere.
    """

    model: str
    protocol: Mapping[str, Any]
    method: Mapping[str, Any]
    benchmark: str
    revision: str
    sha256: str
    split: str
    prompt_format: str
    dtype: str
    template_date: str = ""
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    bos: bool | None = None
    attention: str | None = None
    records: int = field(default=0, compare=False)
    rejected: int = field(default=0, compare=False)
    threads: int = field(default=0, compare=False)
    commit: str = field(default="", compare=False)
    libraries: Mapping[str, Sequence[str]] = field(default_factory=dict, compare=False)


def collect(
    conditions: Conditions,
    *,
    device: str,
    device_name: str,
    config: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The provenance of a result file, JSON-able.

    ``device`` is what the job ran on (``cpu``, ``cuda``), ``device_name`` the processor's or accelerator's own name,
    ``config`` the configuration it ran under; ``more`` is kept as given. Versions, commit, platform and time are found
    out here, without importing any of the packages.
    """
    return {
        "conditions": asdict(conditions),
        "versions": versions(),
        "commit": own_commit(),
        "platform": {"system": platform.platform(), "machine": platform.machine()},
        "device": device,
        "device_name": device_name,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": dict(config or {}),
        **more,
    }


def conditions_of(provenance: Mapping[str, Any], path: Path | str) -> Conditions:
    """The conditions in a file's ``provenance``; :class:`UserError` naming ``path`` if it has none that fit."""
    found = provenance.get("conditions", {})
    try:
        return Conditions(**found)
    except TypeError as error:
        names = {known.name for known in fields(Conditions)}
        odd = sorted(names.symmetric_difference(found))
        raise UserError(
            f"{path} was written by another version (its provenance differs in {', '.join(odd)}); "
            "delete it and run again."
        ) from error


def differences(one: Conditions, other: Conditions, names: Sequence[str] | None = None) -> str:
    """In words, how two runs' conditions differ in ``names`` (all of them by default); empty if they agree."""
    compared = [one.name for one in fields(Conditions) if one.compare] if names is None else names
    pairs = ((name, getattr(one, name), getattr(other, name)) for name in compared)
    return "; ".join(f"{name} {was!r} and {now!r}" for name, was, now in pairs if differ(was, now))


def differ(one: object, other: object) -> bool:
    """Whether two values of one of the :class:`Conditions` are known to differ."""
    return one is not None and other is not None and one != other


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages among :data:`PACKAGES`."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def libraries() -> dict[str, tuple[str, ...]]:
    """Versions of the installed ones of :data:`LIBRARIES`."""
    return {name: (found,) for name, found in versions().items() if name in LIBRARIES}


def together(runs: Iterable[Conditions]) -> dict[str, tuple[str, ...]]:
    """All versions of :data:`LIBRARIES` that several runs had, by library; of the runs that say so."""
    found: dict[str, set[str]] = {}
    for run in runs:
        for name, own in run.libraries.items():
            found.setdefault(name, set()).update(own)
    return {name: tuple(sorted(found[name])) for name in LIBRARIES if name in found}


@functools.cache
def own_commit() -> dict[str, Any] | None:
    """:func:`commit` of this package, asked once: a process goes on with the code that it has imported."""
    return commit(Path(__file__).resolve().parent)


def commit(folder: Path) -> dict[str, Any] | None:
    """Commit of the clone that holds ``folder``, and whether tracked files differ from it.

    None outside a clone, without git, or where the clone does not track the folder.
    """
    # An installed copy may lie inside somebody else's clone: only one that tracks the folder says anything about it.
    if not _git(folder, "ls-files", "--", "."):
        return None
    head = _git(folder, "rev-parse", "HEAD")
    if not head:
        return None
    return {"hash": head, "dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
