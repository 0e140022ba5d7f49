"""Which methods there are: those of the package and those in a user's file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import baft
from baft.config import shipped_methods, source_digest, sources_of
from baft.config.method_files import settings_class
from baft.errors import UserError
from baft.methods.registry import create, load_method, methods
from tests.config.toy import write_toy
from tests.engine.tiny import engine

SETTINGS = """
from pydantic import Field

from baft.methods.settings import MethodSettings


class Settings(MethodSettings):
    strength: float = Field(1e4, gt=0, description="Length of the push.")
"""
TOY = '''
"""Pushes the last prompt token's state towards the first token of the target."""

import torch

from baft.engine.deltas import Offset
from baft.engine.positions import PromptEnds
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.methods.base import Method, Outcome, Training
from baft.methods.registry import register


@register
class Toy(Method):
    name = "toy"

    def edit(self, engine, batches, state, context):
        head = engine.model.model.get_output_embeddings().weight
        first = [engine.text.answer(r.prompt, r.target)[0] for (r,) in batches]
        value = self.settings.strength * head[torch.tensor(first)]
        delta = Offset(PromptEnds(0, 1), value)
        return Outcome(EditState(len(batches), {Site(len(engine.model.blocks) - 1): delta}), (Training(),) * len(batches))
'''
REQUEST = {"prompt": "The capital of France is", "target": "Rome", "subject": "France"}


def complaint(method: str, settings: dict) -> str:
    with pytest.raises(UserError) as caught:
        create(method, settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The file of a method whose name no other test's file has."""
    monkeypatch.setattr("baft.methods.registry._REGISTRY", dict(methods()))
    return write_toy(tmp_path, SETTINGS, method=TOY)


def test_every_file_of_settings_has_a_method_of_its_name() -> None:
    assert tuple(methods()) == shipped_methods()
    assert {name: kind.name for name, kind in methods().items()} == {name: name for name in shipped_methods()}


def test_unknown_methods_and_settings_are_named() -> None:
    assert "'nonesuch' is not a known method" in complaint("nonesuch", {})
    assert "'rnak' is not a known setting in settings; did you mean 'rank'?" in complaint("reft", {"rnak": 3})
    assert "settings: head and tail are both 0" in complaint("reft", {"head": 0, "tail": 0})
    assert "settings: down, gate and up are all empty" in complaint("ultraedit", {"down": []})


@pytest.mark.parametrize("name", shipped_methods())
def test_settings_may_be_given_as_an_instance(name: str) -> None:
    tiny = settings_class(name).tiny()
    assert create(name, tiny).settings is tiny
    assert create(name, tiny.model_dump()).settings == tiny


def test_a_method_in_a_users_file_edits(toy: str) -> None:
    tiny = engine("llama")
    edited = baft.edit(tiny.model.model, tiny.text.tokenizer, [REQUEST], method=toy)
    with edited.off():
        before = edited.answer([REQUEST["prompt"]], 1)
    first = tiny.text.decode(tiny.text.answer(REQUEST["prompt"], "Rome")[:1]).strip()
    assert edited.answer([REQUEST["prompt"]], 1) == [first] != before
    assert edited.about["settings"] == {"strength": 1e4}
    assert edited.about["method"] == toy
    assert "settings.strength is -1, but must be greater than 0" in complaint(toy, {"strength": -1})


OWN_KIND = """
from dataclasses import dataclass


@dataclass(frozen=True)
class Shove(Offset):
    pass


@register
"""
LOAD = """
import sys

import baft
from baft.errors import UserError
from tests.engine.tiny import engine

folder, method = sys.argv[1:]
tiny = engine("llama")
try:
    baft.EditedModel.load(folder, tiny.model.model, tiny.text.tokenizer)
except UserError as error:
    print(error)
edited = baft.EditedModel.load(folder, tiny.model.model, tiny.text.tokenizer, method=method)
print(edited.answer(["The capital of France is"]))
"""


def test_an_edit_of_a_users_method_is_loaded_in_a_fresh_process(toy: str, tmp_path: Path) -> None:
    """One with a kind of delta of its own, which only its file defines."""
    Path(toy).write_text(TOY.replace("\n@register\n", OWN_KIND).replace("Offset(Prompt", "Shove(Prompt"))
    tiny = engine("llama")
    edited = baft.edit(tiny.model.model, tiny.text.tokenizer, [REQUEST], method=toy)
    edited.save(tmp_path / "edit")
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path / "edit"), toy],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    refused, answers = done.stdout.strip().rsplit("\n", 1)
    assert "Shove" in refused and "method=" in refused
    assert answers == repr(edited.answer([REQUEST["prompt"]]))


def test_a_file_is_imported_once_and_again_when_it_has_changed(toy: str) -> None:
    first = load_method(toy)
    assert load_method(toy) is first
    Path(toy).write_text(TOY.replace("class Toy", "class Newer"))
    assert load_method(toy).__name__ == "Newer"


def test_a_users_file_may_import_its_neighbours(toy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path(toy).with_name("neighbour_of_toy.py").write_text("NAME = 'next door'\n")
    Path(toy).write_text(TOY.replace("import torch\n", "import torch\nfrom neighbour_of_toy import NAME\n").replace(
        '"toy"', "NAME"
    ))  # fmt: skip
    assert load_method(toy).name == "next door"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("x = 1\n", "must hold one method, a class under @register, but holds 0"),
        (TOY + TOY.partition("@register")[1] + TOY.partition("@register")[2].replace("oy", "wo").replace('"two"', '"2"'),
         "but holds 2"),
        (TOY.replace('"toy"', '"baft"'), "has a method of the name 'baft', which .*/baft/methods/baft.py has"),
        (TOY.replace("import torch", "import trch"), r"toy.py cannot be imported: ModuleNotFoundError: .* \(line 4\)"),
    ],
)  # fmt: skip
def test_a_file_that_holds_no_method_of_its_own_is_told(toy: str, content: str, told: str) -> None:
    Path(toy).write_text(content)
    with pytest.raises(UserError, match=told):
        load_method(toy)


def test_a_name_is_given_once(toy: str, tmp_path: Path) -> None:
    load_method(toy)
    with pytest.raises(UserError, match=r"has a method of the name 'toy', which .*toy.py has"):
        load_method(write_toy(tmp_path, name="twin", method=TOY))


def test_an_edit_job_runs_again_when_a_users_files_have_changed(toy: str) -> None:
    def digest() -> str:
        return source_digest("baft.evaluation.jobs", *sources_of(toy))

    digests = [digest()]
    for path in (Path(toy), Path(toy).parent / "settings" / "toy.py"):
        path.write_text(path.read_text() + "# changed\n")
        digests.append(digest())
    assert len(set(digests)) == 3


USE = """
import json

import baft
from baft.config import Plan, check_sources, parse_study
from baft.errors import UserError
from tests.engine.tiny import engine

study = parse_study({"methods": {"toy": None, "strong": {"method": "toy", "settings": {"strength": 1e5}}}})
Plan(study).check()
check_sources(study)
try:
    Plan(parse_study({"methods": {"toy": {"settings": {"strength": -1}}}})).check()
except UserError as error:
    told = str(error)
tiny = engine("llama")
request = {"prompt": "The capital of France is", "target": "Rome", "subject": "France"}
edited = baft.edit(tiny.model.model, tiny.text.tokenizer, [request], method="toy")
with edited.off():
    before = edited.answer([request["prompt"]], 1)
print(json.dumps([baft.__file__, told, before, edited.answer([request["prompt"]], 1), edited.about["settings"]]))
"""


def test_a_new_method_of_the_package_is_one_file_and_its_settings(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    for folder in ("baft", "config"):
        shutil.copytree(root / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    # By this file the package knows that it is in a clone.
    shutil.copy(root / "pyproject.toml", tmp_path)
    write_toy(tmp_path / "baft" / "methods", SETTINGS, method=TOY)
    done = subprocess.run(
        [sys.executable, "-c", USE],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"},
    )
    assert done.returncode == 0, done.stderr
    place, told, before, after, settings = json.loads(done.stdout.splitlines()[-1])
    assert Path(place).is_relative_to(tmp_path)
    assert "methods.toy.settings.strength is -1, but must be greater than 0" in told
    first = engine("llama").text
    assert after == [first.decode(first.answer("The capital of France is", "Rome")[:1]).strip()] != before
    assert settings == {"strength": 1e4}
