"""The package as it is installed: a wheel, away from the clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
USE = """
import sys
from pathlib import Path

import baft
from baft.benchmarks.resources import resource
from baft.config.methods import sections_of
from tests.engine.tiny import engine

place = Path(baft.__file__).parent
assert not place.is_relative_to(sys.argv[1]), place
assert "smollm2-135m" in sections_of("baft")
assert resource("facts/countries.csv").is_relative_to(place)
tiny = engine("llama")
request = {"prompt": "The capital of France is", "subject": "France", "target": "Rome"}
settings = {"layer": 1, "rank": 4, "steps": 2}
edited = baft.edit(tiny.model.model, tiny.text.tokenizer, request, method="baft", settings=settings)
print(edited.answer("The capital of France is"))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's content, built from a copy of the clone."""
    folder = tmp_path_factory.mktemp("installed")
    copy = folder / "clone"
    copy.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("baft", "config", "resources", "workflow"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = [*pip, "wheel", ".", "--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(folder)]
    subprocess.run(build, cwd=copy, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    place = folder / "site"
    put = [*pip, "install", "--no-deps", "--no-index", "--quiet", "--target", str(place), str(wheel)]
    subprocess.run(put, check=True, capture_output=True)
    shutil.rmtree(copy)
    # The tests' tiny models, without the clone being found beside them.
    shutil.copytree(ROOT / "tests", folder / "extra" / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run(installed: Path, here: Path, *command: str) -> subprocess.CompletedProcess[str]:
    paths = [installed / "site", installed / "extra", sysconfig.get_paths()["purelib"]]
    own = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "HF_HUB_OFFLINE": "1"}
    return subprocess.run([sys.executable, *command], cwd=here, env=own, capture_output=True, text=True)


def test_an_installed_package_edits(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "-c", USE, str(ROOT))
    assert done.returncode == 0, done.stderr


def test_its_command_edits_the_model_in_a_folder(installed: Path, tmp_path: Path) -> None:
    from tests.engine.tiny import engine

    tiny = engine("llama")
    tiny.model.model.save_pretrained(tmp_path / "model")
    tiny.text.tokenizer.save_pretrained(tmp_path / "model")
    options = ["--subject", "France", "--target", "Rome", "--model", "model", "--method", "lora", "--set", "steps=2"]
    done = run(installed, tmp_path, "-m", "baft", "edit", *options, "The capital of France is")
    assert done.returncode == 0, done.stderr
    assert "before:" in done.stdout and "after:" in done.stdout
