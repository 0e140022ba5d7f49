"""The digest of a job's source: it follows imports, and nothing else."""

from pathlib import Path

import pytest

from baft.config.sources import ROOT, _closure, source_digest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "baft/__init__.py": "",
        "baft/jobs.py": "from baft.engine import core\nfrom .engine.near import x\n\ndef f():\n    import baft.late\n",
        "baft/late.py": "",
        "baft/engine/__init__.py": "",
        "baft/engine/core.py": "import numpy\n",
        "baft/engine/near.py": "x = 1\n",
        "baft/report.py": "",
        "baft/methods/__init__.py": "",
        "baft/methods/one.py": "from baft.methods import shared\n",
        "baft/methods/two.py": "",
        "baft/methods/shared.py": "",
        "facts.csv": "a",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


# A fresh copy of the folder for each digest, since what a module imports is remembered.
def digest_after(root: Path, copy: Path, changed: str | None, *modules: str) -> str:
    for path in root.rglob("*.*"):
        target = copy / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    if changed:
        (copy / changed).write_text((copy / changed).read_text() + "# changed\n")
    return source_digest(*modules, files=(copy / "facts.csv",), root=copy)


@pytest.mark.parametrize(
    ("changed", "matters"),
    [
        ("baft/jobs.py", True),
        ("baft/engine/core.py", True),
        ("baft/engine/near.py", True),
        ("baft/late.py", True),
        ("baft/methods/one.py", True),
        ("baft/methods/shared.py", True),
        ("facts.csv", True),
        ("baft/methods/two.py", False),
        ("baft/report.py", False),
    ],
)
def test_a_change_matters_if_the_job_imports_it(
    root: Path, tmp_path_factory: pytest.TempPathFactory, changed: str, matters: bool
) -> None:
    modules = ("baft.jobs", "baft.methods.one")
    before = digest_after(root, tmp_path_factory.mktemp("a"), None, *modules)
    after = digest_after(root, tmp_path_factory.mktemp("b"), changed, *modules)
    assert (before != after) == matters


@pytest.mark.parametrize(
    ("changed", "matters"),
    [("mine.py", True), ("helper.py", True), ("parts/deep.py", True), ("parts/__init__.py", True), ("other.py", False)],
)
def test_a_users_file_counts_with_its_neighbours_and_what_it_imports_of_the_package(
    root: Path, tmp_path_factory: pytest.TempPathFactory, changed: str, matters: bool
) -> None:
    here = tmp_path_factory.mktemp("user")
    (here / "parts").mkdir()
    (here / "mine.py").write_text("import helper, numpy\nfrom parts import deep\nfrom baft.methods import one\n")
    for name in ("helper.py", "other.py", "parts/__init__.py", "parts/deep.py"):
        (here / name).write_text("x = 1\n")
    before = source_digest(here / "mine.py", root=root)
    (here / changed).write_text((here / changed).read_text() + "# changed\n")
    assert (source_digest(here / "mine.py", root=root) != before) == matters
    assert _closure([here / "mine.py"], root) >= {"baft.methods.one", "baft.methods.shared"}


@pytest.mark.parametrize(
    ("changed", "matters"),
    [
        ("helpers/core.py", True),
        ("helpers/util.py", True),
        ("pkg/sub/core.py", True),
        ("pkg/util.py", True),
        ("pkg/__init__.py", True),
        ("pkg/sub/__init__.py", True),
        ("pkg/sub/near.py", True),
        ("pkg/sub/util.py", False),
        ("helpers/pkg/util.py", False),
    ],
)
def test_what_neighbours_import_counts_from_the_folder_of_the_users_file(
    tmp_path: Path, changed: str, matters: bool
) -> None:
    (tmp_path / "ed.py").write_text("from helpers import core\nimport pkg.sub.core\n")
    files = {
        "helpers/core.py": "from helpers.util import STEPS\nimport pkg.util\n",
        "helpers/util.py": "STEPS = 1\n",
        "helpers/pkg/util.py": "",
        "pkg/__init__.py": "",
        "pkg/util.py": "S = 1\n",
        "pkg/sub/__init__.py": "",
        "pkg/sub/core.py": "from ..util import S\nfrom . import near\n",
        "pkg/sub/near.py": "",
        "pkg/sub/util.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/link.py").symlink_to(tmp_path / "ed.py")
    given = (tmp_path / "ed.py", tmp_path / "elsewhere/link.py")
    before = [source_digest(path) for path in given]
    (tmp_path / changed).write_text(files[changed] + "# changed\n")
    assert [source_digest(path) != one for path, one in zip(given, before, strict=True)] == [matters, matters]


def test_the_config_is_not_followed() -> None:
    modules = _closure(["baft.benchmarks.prepare"], ROOT)
    assert "baft.benchmarks.load" in modules
    assert not any(str(module).startswith("baft.config") for module in modules)
