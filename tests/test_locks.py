"""The locks: every requirement at one version, every file by its hash, each version stated once."""

import re
from pathlib import Path

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


def test_no_package_is_in_two_locks() -> None:
    # What only Windows needs is not installed by the Makefile.
    found = [item for lock in LOCKS for item in requirements(lock).items()]
    names = [name for name, line in found if "sys_platform == 'win32'" not in line]
    assert len(names) == len(set(names))


def test_every_installation_by_the_makefile_asks_for_hashes() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "LOCKED := $(PIP) install --no-deps --require-hashes" in makefile
    for line in makefile.splitlines():
        assert "-r requirements" not in line or "$(LOCKED)" in line
