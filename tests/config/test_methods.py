"""The settings of methods: whose win, what is allowed, and that they follow what a model is and not its label."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from baft.config import (
    Cell,
    Plan,
    check_section,
    known_at_planning,
    known_by_config,
    method_settings,
    methods,
    parse_study,
    said_of_section,
    section_of,
    shipped_methods,
)
from baft.config.known_models import known_models
from baft.config.layout import at
from baft.config.method_files import settings_class
from baft.config.methods import FOLDER, sections_of
from baft.config.sections import ModelConfig
from baft.errors import UserError
from tests.config.toy import write_toy

TOY = """
    from typing import Literal
    from pydantic import Field, model_validator
    from baft.methods.settings import Layer, MethodSettings

    class Settings(MethodSettings):
        layer: Layer = Field(0.75, description="Block.")
        steps: int = Field(20, ge=1, description="Steps.")
        lr: float = Field(1e-3, gt=0, description="Rate.")
        objective: Literal["plain", "masked"] = Field("plain", description="What is minimised.")
        clamp: float | None = Field(4.0, gt=0, description="Largest change.")
        covariance: bool = Field(True, description="Whether.")
        sites: tuple[int, ...] = Field((1,), description="Where.")
        note: str = Field("1e-3", description="A text.")

        @model_validator(mode="after")
        def _at_most_nine(self):
            if self.steps * len(self.sites) > 99:
                raise ValueError("steps times sites is above 99")
            return self
"""
SHAPE = {"model_type": "llama", "num_hidden_layers": 30, "hidden_size": 576, "vocab_size": 49152}
SMALL = "smollm2-135m"


@pytest.fixture
def toy(tmp_path: Path) -> str:
    return write_toy(tmp_path, TOY)


def test_the_studys_settings_win_over_the_models_and_those_over_the_defaults() -> None:
    default, tuned = method_settings("ft_l"), method_settings("ft_l", SMALL)
    assert default == settings_class("ft_l")()
    assert sections_of("ft_l")[SMALL].items() <= tuned.model_dump().items()
    assert tuned != default
    given = method_settings("ft_l", SMALL, {"lr": 1.0}).model_dump()
    assert given == tuned.model_dump() | {"lr": 1.0}


def test_numbers_are_read_as_meant(toy: str) -> None:
    found = method_settings(toy, given={"lr": "5e-4", "steps": "2e1", "note": "5e-4", "layer": "1e-1", "clamp": 1})
    assert found.model_dump() | {"sites": ()} == {
        "layer": 0.1, "steps": 20, "lr": 5e-4, "objective": "plain", "clamp": 1.0, "covariance": True, "sites": (),
        "note": "5e-4",
    }  # fmt: skip
    assert isinstance(method_settings(toy, given={"steps": 3.0}).model_dump()["steps"], int)


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"stepps": 1}, ["'stepps' is not a known setting in settings", "did you mean 'steps'?", "Allowed: layer, "]),
        ({"steps": 0}, ["settings.steps is 0", "at least 1"]),
        ({"steps": 1.5}, ["settings.steps is 1.5", "whole number"]),
        ({"steps": "many"}, ["settings.steps is 'many'", "a whole number"]),
        ({"steps": True}, ["settings.steps is True", "a whole number"]),
        ({"steps": None}, ["settings.steps is None", "a whole number"]),
        ({"lr": -1e-3}, ["settings.lr is -0.001", "greater than 0"]),
        ({"lr": "fast"}, ["settings.lr is 'fast'", "must be a number"]),
        ({"lr": float("inf")}, ["settings.lr is inf", "a finite number"]),
        ({"lr": float("nan")}, ["settings.lr is nan", "a finite number"]),
        ({"objective": "masks"}, ["settings.objective is 'masks'", "'plain' or 'masked'"]),
        ({"covariance": 1}, ["settings.covariance is 1", "true or false"]),
        ({"clamp": 0}, ["settings.clamp is 0", "greater than 0"]),
        ({"sites": 3}, ["settings.sites is 3", "a list"]),
        ({"sites": [1, "a"]}, ["settings.sites.1 is 'a'", "a whole number"]),
        ({"note": 3}, ["settings.note is 3", "a text"]),
        ({"layer": "top"}, ["settings.layer: it is 'top'", "number of a block"]),
        ({"layer": True}, ["settings.layer: it is True", "number of a block"]),
        ({"layer": -1}, ["settings.layer: it is -1", "counted from 0"]),
        ({"layer": 1.0}, ["settings.layer: it is 1.0", "below 1.0"]),
        ({"layer": float("nan")}, ["settings.layer: it is nan", "below 1.0"]),
        ({"steps": 50, "sites": [1, 2]}, ["settings: steps times sites is above 99."]),
        ({3: 1}, ["'3' is not a known setting"]),
    ],
)
def test_a_wrong_setting_is_named(toy: str, settings: dict, parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        method_settings(toy, given=settings)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_null_is_allowed_where_the_class_says_so(toy: str) -> None:
    assert method_settings(toy, given={"clamp": None}).model_dump()["clamp"] is None


@pytest.mark.parametrize("name", shipped_methods())
def test_the_shipped_settings_are_right(name: str) -> None:
    kind = settings_class(name)
    for label, field in kind.model_fields.items():
        assert field.description and field.description.endswith("."), label
    # Defaults are not checked when a class is made; one that has none for a setting is tried with the tests' settings.
    own = kind.tiny() if any(field.is_required() for field in kind.model_fields.values()) else kind()
    assert method_settings(name, given=json.loads(own.model_dump_json())) == own
    assert isinstance(kind.tiny(), kind)
    for known in sections_of(name):
        assert method_settings(name, known)


def test_no_file_of_settings_for_models_is_without_a_method() -> None:
    assert {path.stem for path in FOLDER.glob("*")} <= set(shipped_methods())


def test_needs_follow_the_settings() -> None:
    assert method_settings("rome", given={"layer": 5}).needs().covariances == (5,)
    assert method_settings("rome", given={"second_moment": False}).needs().covariances == ()


# What a model is


def folder_of(place: Path, **changes: object) -> Path:
    place.mkdir(exist_ok=True)
    (place / "config.json").write_text(json.dumps(SHAPE | {"tie_word_embeddings": True} | changes))
    return place


def test_a_model_is_known_by_what_it_is(tmp_path: Path) -> None:
    assert known_at_planning(ModelConfig()) == SMALL
    same, deeper = folder_of(tmp_path / "a"), folder_of(tmp_path / "b", num_hidden_layers=31)
    assert known_at_planning(ModelConfig(source="folder", path=str(same))) == SMALL
    assert known_at_planning(ModelConfig(source="folder", path=str(deeper))) is None
    for content in ("[]", "{", '"text"'):
        (deeper / "config.json").write_text(content)
        assert known_at_planning(ModelConfig(source="folder", path=str(deeper))) is None
    assert known_at_planning(ModelConfig(source="folder", path=str(tmp_path / "none"))) is None
    (listed, *_) = known_models()[SMALL].hub
    hub = {"source": "hub", "revision": "0" * 40}
    assert known_at_planning(ModelConfig(**hub, hub_id=listed)) == SMALL
    assert known_at_planning(ModelConfig(**hub, hub_id="someone/smollm2-135m")) is None


def test_no_two_known_models_are_taken_for_each_other() -> None:
    for name, known in known_models().items():
        assert known_by_config(known.config.get) == name
    ids = [one for known in known_models().values() for one in known.hub]
    assert len(ids) == len(set(ids))


def test_the_same_weights_under_another_label_have_the_same_settings(tmp_path: Path, own_settings: Path) -> None:
    (own_settings / "baft.yaml").write_text(f"{SMALL}: {{layer: 20}}")
    (own_settings / "ft_l.yaml").write_text(f"{SMALL}: {{lr: 0.005}}")
    models = {SMALL: {"source": "embedded"}, "mine": {"source": "folder", "path": str(folder_of(tmp_path / "m"))}}
    # Whatever it is called, this is another model.
    models |= {"other": {"source": "folder", "path": str(folder_of(tmp_path / "o", hidden_size=64))}}
    plan = Plan(parse_study({"models": models, "methods": ["baft", "lora", "ft_l"]}))

    def of(model: str, method: str) -> tuple[dict, str | None]:
        spec = Cell.from_spec(plan.edits.spec(model, method, "single", "mini_wiki_recent", "0")).method
        return spec.settings, spec.section

    for method in ("baft", "ft_l"):
        assert of("mine", method) == of(SMALL, method) != of("other", method)
        assert (of("mine", method)[1], of("other", method)[1]) == (SMALL, None)
    assert of("mine", "lora") == of(SMALL, "lora") == of("other", "lora"), "LoRA has no settings for any model"
    assert of("mine", "lora")[1] is None


@pytest.mark.parametrize(
    ("method", "section", "changes", "told"),
    [
        ("baft", SMALL, {}, None),
        ("baft", None, {"hidden_size": 64}, None),
        ("lora", None, {}, None),
        ("baft", SMALL, {"hidden_size": 64}, "hidden_size is 64, not 576"),
        ("baft", SMALL, {"model_type": "gpt2"}, "model_type is 'gpt2', not 'llama'"),
        ("baft", None, {}, f"planned without them: plan the study again, or add its id to {SMALL}.hub"),
    ],
)
def test_a_loaded_model_that_is_not_the_planned_one_is_told(
    method: str, section: str | None, changes: dict, told: str | None, own_settings: Path
) -> None:
    (own_settings / "baft.yaml").write_text(f"{SMALL}: {{layer: 20}}")
    loaded = SimpleNamespace(**SHAPE | changes)
    if told is None:
        check_section(method, section, loaded, "hub a/b")
    else:
        with pytest.raises(UserError, match=r"^hub a/b") as caught:
            check_section(method, section, loaded, "hub a/b")
        assert told in str(caught.value)


# A user's own file


def test_a_users_method_is_planned_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_toy(tmp_path)
    monkeypatch.chdir(tmp_path)
    study = {
        "methods": {"mine": {"method": "toy.py", "settings": {"covariance": True}}, "plain": {"method": "./toy.py"}}
    }
    plan = Plan(parse_study(study))
    plan.check()
    spec = Cell.from_spec(plan.edits.spec(SMALL, "mine", "single", "mini_wiki_recent", "0")).method
    assert (spec.label, spec.method, spec.section) == ("mine", "toy.py", None)
    assert spec.settings == {"lr": 0.1, "covariance": True, "layer": 3}
    assert plan.edits.covariances(SMALL, "mine") == [str(at(plan.layout.covariances, model=SMALL, layer=3))]
    assert plan.edits.covariances(SMALL, "plain") == []
    assert any("method=mine" in str(path) for path in plan.grids.all.records())


def test_a_users_method_without_a_file_of_settings_has_none(tmp_path: Path) -> None:
    path = write_toy(tmp_path, None)
    assert not type(method_settings(path)).model_fields
    with pytest.raises(UserError, match=r"'lr' is not a known setting in settings\. Allowed: none at all"):
        method_settings(path, given={"lr": 1})


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("import nothing_of_that_name", "settings/toy.py cannot be imported: ModuleNotFoundError: .* \\(line 1\\)"),
        ("a = 1\nb = a / 0\n", "ZeroDivisionError: division by zero \\(line 2\\)"),
        ("a = (", "SyntaxError: .*line 1"),
        ("a = 1", "settings/toy.py must hold the settings of .*toy.py: a class Settings\\(MethodSettings\\)"),
        ("class Settings:\n    lr = 1\n", "a class Settings\\(MethodSettings\\)"),
    ],
)
def test_a_wrong_file_of_settings_is_named(tmp_path: Path, settings: str, told: str) -> None:
    path = write_toy(tmp_path, settings)
    with pytest.raises(UserError, match=told) as caught:
        Plan(parse_study({"methods": {"mine": {"method": path}}})).check()
    assert "\n" not in str(caught.value)


def test_a_method_that_is_not_there_is_named(tmp_path: Path) -> None:
    def told(methods: object) -> str:
        with pytest.raises(UserError) as caught:
            Plan(parse_study({"methods": methods})).check()
        return str(caught.value)

    assert f"methods.mine.method is '{tmp_path}/mine.py', but must be a file that exists" in told(
        {"mine": {"method": f"{tmp_path}/mine.py"}}
    )
    assert "looked for /" in told({"mine": {"method": "no/such/mine.py"}})
    assert "'bafd' is not a known method in methods.mine; did you mean 'baft'?" in told({"mine": {"method": "bafd"}})
    assert "'bafd' is not a known method in methods; did you mean 'baft'?" in told(["bafd"])


def test_an_edited_file_of_settings_is_read_anew(tmp_path: Path) -> None:
    path = write_toy(tmp_path)
    assert "lr" in type(method_settings(path)).model_fields
    write_toy(tmp_path, TOY.replace("lr:", "rate:"))
    assert "lr" not in type(method_settings(path)).model_fields


def test_planning_with_a_users_method_imports_no_torch(tmp_path: Path) -> None:
    path = write_toy(tmp_path, method="import torch")
    study = {"methods": {"mine": {"method": path}, "rome": None}}
    code = (
        "import sys; from baft.config import Plan, parse_study\n"
        f"plan = Plan(parse_study({study!r})); plan.check(); plan.edits.source('mine'); plan.edits.use_covariances\n"
        "assert not {'torch', 'transformers', 'pandas'} & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


TUNED = """
# Chosen by eye.
smollm2-135m:
  layer: 20
  lr: 0.004
  tuned:
    {study: s, trials: 12, benchmarks: [a, b], records: 50, hash: 0a1b2c, before: {layer: 25}}
"""


def test_which_settings_a_job_takes_is_said(own_settings: Path) -> None:
    (own_settings / "reft.yaml").write_text(f"{SMALL}: {{layer: 20}}")
    said = f"those of reft for {SMALL} (config/methods/reft.yaml), set by hand"
    assert said_of_section("reft", section_of("reft", SMALL)) == said
    assert said_of_section("lora", section_of("lora", SMALL)) == "no settings of lora for this model: defaults"


def test_a_section_that_a_search_chose_says_so_and_what_was_there_before(own_settings: Path) -> None:
    (own_settings / "reft.yaml").write_text(TUNED)
    assert methods.sections_of("reft") == {SMALL: {"layer": 20, "lr": 0.004}}
    assert methods.tuned_of("reft", SMALL).trials == 12
    assert methods.tuned_of("reft", None) is methods.tuned_of("lora", SMALL) is None
    assert methods.method_settings("reft", SMALL).layer == 20
    assert said_of_section("reft", SMALL).endswith("(config/methods/reft.yaml), tuned by study s, 12 trials")
    # Where a search begins does not depend on whether its choice has been taken.
    start = methods.untuned_settings("reft", SMALL, {"rank": 3})
    assert (start.layer, start.lr, start.rank) == (25, methods.method_settings("reft").lr, 3)
    assert methods.untuned_settings("lora", SMALL) == methods.method_settings("lora", SMALL)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("trials: 0", "smollm2-135m.tuned.trials is 0"),
        ("trial: 3, trials: 3", "'trial' is not a known key"),
        ("trials: many", "smollm2-135m.tuned.trials is 'many'"),
    ],
)
def test_what_a_section_says_of_its_search_is_checked(own_settings: Path, changed: str, message: str) -> None:
    (own_settings / "reft.yaml").write_text(TUNED.replace("trials: 12", changed))
    with pytest.raises(UserError, match=message):
        methods.sections_of("reft")


def test_settings_from_before_a_search_are_checked_too(own_settings: Path) -> None:
    (own_settings / "reft.yaml").write_text(TUNED.replace("before: {layer", "before: {layers"))
    with pytest.raises(UserError, match=r"'layers' is not a known setting in .*before"):
        methods.sections_of("reft")
