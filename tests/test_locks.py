"""The locks: every requirement at one version, every file by its hash, and each package the same in all."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = sorted(path.name for path in ROOT.glob("requirements*.lock"))


def requirements(lock: str) -> dict[str, str]:
    """The text of each requirement, its hashes included, by name."""
    text = (ROOT / lock).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {re.split(r"[=\[ ]", line)[0]: line for line in lines}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_pinned_by_version_and_hash(lock: str) -> None:
    for line in requirements(lock).values():
        assert re.match(r"[a-z0-9-]+==[^ ]+ .*--hash=sha256:[0-9a-f]{64}", line), line[:80]


def test_what_the_project_depends_on_is_locked_and_no_version_is_stated_elsewhere() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    locked = requirements("requirements.lock")
    for dependency in named:
        assert re.split(r"[=<>\[ ]", dependency)[0] in locked
        assert "==" not in dependency


def test_a_package_in_two_locks_is_the_same_in_both() -> None:
    # What only Windows needs is not installed by the Makefile. The documentation and the tests may need one package, and
    # either is installed without the other.
    found = [item for lock in LOCKS for item in requirements(lock).items()]
    lines = {item for item in found if "sys_platform == 'win32'" not in item[1]}
    assert len(lines) == len({name for name, _ in lines})


def test_every_installation_by_the_makefile_asks_for_hashes() -> None:
    makefile, installer = (ROOT / "Makefile").read_text(), (ROOT / ".ci/install").read_text()
    assert "LOCKED := $(BIN)/python .ci/install\n" in makefile
    assert 'LOCKED = ["install", "--no-deps", "--require-hashes"]\n' in installer
    for line in makefile.splitlines():
        if "requirements" in line and line.startswith("\t"):
            assert "$(LOCKED) requirements" in line
    assert installer.count("*LOCKED,") == 3


def installer(tmp_path: Path, uv: str, pip: str) -> tuple[int, list[str]]:
    """Exit code and commands of the installer with programs ``uv`` and ``pip`` of which these are the exit codes."""
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    (tmp_path / "x.lock").write_text("a==1 --hash=sha256:0\n")
    python.write_text(
        f"#!/bin/sh\n[ $3 = config ] || [ $4 = config ] || exit {pip}\necho \"global.index-url='https://mine'\"\n"
    )
    if uv:
        program = tmp_path / "bin/uv"
        program.write_text(f"#!/bin/sh\n[ $1 = --version ] || {{ echo index $UV_DEFAULT_INDEX; exit {uv}; }}\n")
        program.chmod(0o755)
    python.chmod(0o755)
    code = f"import sys; sys.executable = {str(python)!r}; import runpy; runpy.run_path('.ci/install', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.lock")], cwd=ROOT, capture_output=True, text=True
    )
    return done.returncode, [line.replace(f"{tmp_path}/bin/", "") for line in done.stdout.splitlines()]


def test_the_installer_takes_uv_with_what_pip_is_told(tmp_path: Path) -> None:
    code, said = installer(tmp_path, uv="0", pip="1")
    assert code == 0
    assert said[0].startswith("uv pip install --no-deps --require-hashes")
    assert said[1:] == ["index https://mine"]


@pytest.mark.parametrize("uv", ["", "2"], ids=["it cannot be had", "it fails"])
@pytest.mark.parametrize("pip", ["0", "1"])
def test_the_installer_takes_pip_where_uv_is_of_no_use(tmp_path: Path, uv: str, pip: str) -> None:
    code, said = installer(tmp_path, uv=uv, pip=pip)
    assert code == int(pip)
    assert said[-1].startswith("python -m pip --disable-pip-version-check install --no-deps --require-hashes -r")


def test_the_cuda_build_of_torch_is_installed_where_it_is_asked_for() -> None:
    names: dict[str, Any] = {"__name__": "install", "__file__": str(ROOT / ".ci/install")}
    exec((ROOT / ".ci/install").read_text(), names)
    names["has_gpu"] = lambda: False
    assert names["takes_cpu_only"]("a==1\ntorch==2\n", "")
    assert not names["takes_cpu_only"]("a==1\ntorch==2\n", "cuda")
    assert '--torch "$(TORCH)"' in (ROOT / "Makefile").read_text()
