"""config/methods/*.yaml: the order of settings, and what is allowed of them."""

from pathlib import Path

import pytest

from baft.config import known_methods, method_settings, read_method
from baft.errors import UserError

TOY = """
defaults: {layer: 0.75, steps: 20, lr: 1e-3, objective: plain, clamp: 4.0, second_moment: true, sites: [1]}
models:
  small: {layer: 5, lr: 2e-3}
allowed:
  layer: {min: 0}
  steps: {min: 1, integer: true}
  lr: {above: 0}
  objective: {choices: [plain, masked]}
  clamp: {optional: true, above: 0}
moments: {when: {second_moment: true}, layer: layer}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "toy.yaml").write_text(TOY)
    return tmp_path


def test_the_studys_settings_win_over_the_models_and_those_over_the_defaults(folder: Path) -> None:
    assert method_settings("toy", folder=folder)["layer"] == 0.75
    settings = method_settings("toy", "small", {"steps": 3}, folder=folder)
    assert (settings["layer"], settings["lr"], settings["steps"], settings["objective"]) == (5, 2e-3, 3, "plain")


def test_scientific_notation_is_a_number_wherever_it_is_written(folder: Path) -> None:
    assert method_settings("toy", folder=folder)["lr"] == 1e-3
    assert method_settings("toy", settings={"lr": "5e-4"}, folder=folder)["lr"] == 5e-4


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"stepps": 1}, ["'stepps' is not a known setting in settings", "did you mean 'steps'?"]),
        ({"steps": 0}, ["settings.steps is 0", "at least 1"]),
        ({"steps": 1.5}, ["settings.steps is 1.5", "whole number"]),
        ({"steps": "many"}, ["settings.steps is 'many'", "a number"]),
        ({"steps": True}, ["settings.steps is True", "a number"]),
        ({"lr": -1e-3}, ["settings.lr is -0.001", "above 0"]),
        ({"lr": None}, ["settings.lr is None", "must not be null"]),
        ({"objective": "masks"}, ["settings.objective is 'masks'", "one of plain, masked"]),
        ({"second_moment": 1}, ["settings.second_moment is 1", "true or false"]),
        ({"clamp": 0}, ["settings.clamp is 0", "above 0"]),
        ({"sites": 3}, ["settings.sites is 3", "a list"]),
    ],
)
def test_a_wrong_setting_is_named(folder: Path, settings: dict, parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        method_settings("toy", settings=settings, folder=folder)
    for part in parts:
        assert part in str(caught.value)


def test_null_is_allowed_where_the_file_says_so(folder: Path) -> None:
    assert method_settings("toy", settings={"clamp": None}, folder=folder)["clamp"] is None


def test_moments_are_needed_only_under_their_condition(folder: Path) -> None:
    method = read_method("toy", folder)
    assert method.moment_layers({"second_moment": True, "layer": 0.17}) == ("0.17",)
    assert method.moment_layers({"second_moment": True, "layer": [4, 5]}) == ("4", "5")
    assert method.moment_layers({"second_moment": False, "layer": 5}) == ()


def test_a_files_own_mistakes_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("default: {}\n")
    (tmp_path / "b.yaml").write_text("defaults: {lr: 1}\nmodels: {m: {rate: 1}}\n")
    for name, part in (("a", "did you mean 'defaults'?"), ("b", "models.m")):
        with pytest.raises(UserError, match=part) as caught:
            read_method(name, tmp_path)
        assert f"{name}.yaml" in str(caught.value)


def test_the_shipped_files_are_right() -> None:
    assert "none" in known_methods()
    for name in known_methods():
        method_settings(name)
