"""Editing without the workflow, in Python and on the command line."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import baft
from baft.cli.main import app, commands
from baft.config.methods import sections_of
from baft.edited import EditedModel
from baft.errors import UserError
from baft.methods.base import Request
from tests.engine.test_fitting import METHODS
from tests.engine.tiny import PROMPTS, SUBJECTS, TARGETS, engine

REQUESTS = [
    {"prompt": prompt, "target": target, "subject": subject}
    for prompt, target, subject in zip(PROMPTS[:3], TARGETS, SUBJECTS, strict=False)
]
FRANCE = REQUESTS[0]

Edit = Callable[..., EditedModel]


@pytest.fixture
def edit() -> Edit:
    """Edits the tiny model with one of the methods that the engine's tests use."""
    tiny = engine("llama")

    def made(requests: Any, label: str = "lora", **settings: Any) -> EditedModel:
        method, own = METHODS[label]
        more = {**own, "steps": 40, **settings}
        return baft.edit(tiny.model.model, tiny.text.tokenizer, requests, method=method, settings=more)

    return made


@pytest.mark.parametrize("label", METHODS)
def test_an_edit_changes_answers_and_can_be_switched_off(label: str, edit: Edit) -> None:
    plain = engine("llama").model.model
    weights = {name: p.clone() for name, p in plain.named_parameters()}
    edited = edit(REQUESTS, label)
    after = edited.answer(PROMPTS)
    with edited.off():
        before = edited.answer(PROMPTS)
        assert not edited.active
    assert edited.answer(PROMPTS) == after != before
    edited.active = False
    assert edited.answer(PROMPTS) == before
    assert all(torch.equal(p, weights[name]) for name, p in plain.named_parameters())


def test_every_request_of_a_list_is_made(edit: Edit) -> None:
    answers = edit(REQUESTS, rank=8, steps=80).answer([r["prompt"] for r in REQUESTS])
    for request, answer in zip(REQUESTS, answers, strict=True):
        # A random model this small learns how each answer begins, not all of it.
        assert answer.startswith(request["target"][:3]), (request, answer)


def test_requests_can_be_given_as_such(edit: Edit) -> None:
    given = [Request(str(n), r["prompt"], r["target"], r["subject"]) for n, r in enumerate(REQUESTS)]
    assert edit(given).answer(PROMPTS) == edit(REQUESTS).answer(PROMPTS)


@pytest.mark.parametrize("label", METHODS)
def test_a_loaded_edit_answers_as_the_saved_one(label: str, edit: Edit, tmp_path: Path) -> None:
    edited = edit(REQUESTS, label)
    edited.save(tmp_path / "edit")
    assert {path.name for path in (tmp_path / "edit").iterdir()} == {"edit.safetensors", "edit.json"}
    tiny = engine("llama")
    loaded = EditedModel.load(tmp_path / "edit", tiny.model.model, tiny.text.tokenizer)
    assert loaded.answer(PROMPTS) == edited.answer(PROMPTS)
    assert loaded.about["method"] == METHODS[label][0]
    assert loaded.about["settings"]["steps"] == 40
    with loaded.off(), edited.off():
        assert loaded.answer(PROMPTS) == edited.answer(PROMPTS)


def test_an_edit_is_not_put_onto_another_model(edit: Edit, tmp_path: Path) -> None:
    edit([FRANCE]).save(tmp_path / "edit")
    tiny, other = engine("llama"), copy.deepcopy(engine("llama").model.model)
    with torch.no_grad():
        other.lm_head.weight[7, 7] += 0.1
    with pytest.raises(UserError, match="made for another model") as caught:
        EditedModel.load(tmp_path / "edit", other, tiny.text.tokenizer)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="made for another model"):
        EditedModel.load(tmp_path / "edit", engine("qwen3").model.model, tiny.text.tokenizer)


def test_an_error_within_off_leaves_it_switched_on(edit: Edit) -> None:
    edited = edit([FRANCE])
    with pytest.raises(RuntimeError), edited.off():
        raise RuntimeError
    assert edited.active


@pytest.mark.parametrize(
    ("requests", "method", "settings", "parts"),
    [
        ([FRANCE], "bafd", {}, ["'bafd' is not a known method", "did you mean 'baft'?"]),
        ([FRANCE], "reft", {"rnak": 2}, ["'rnak' is not a known setting", "did you mean 'rank'?"]),
        ([FRANCE], "reft", {"layer": 7}, ["layer is 7", "blocks 0 to 2"]),
        ([FRANCE], "reft", {"head": 0, "tail": 0}, ["head and tail are both 0"]),
        ([FRANCE | {"subject": "Spain"}], "rome", {}, ["subject 'Spain' is not in the prompt"]),
        ([{"prompt": "Paris is", "target": "Rome"}], "rome", {}, ["subject '' is not in the prompt"]),
        ([FRANCE, FRANCE | {"prompt": " "}], "reft", {}, ["Request 1 has no prompt"]),
        ([FRANCE | {"target": ""}], "reft", {}, ["Request 0 has no target"]),
        ([{"prompt": "Paris is"}], "reft", {}, ["Request 0 has no target"]),
        ([FRANCE | {"sbject": "France"}], "reft", {}, ["'sbject'", "prompt, target and subject"]),
        ([], "reft", {}, ["no request"]),
        ([FRANCE], "lora", {"lr": 1e36}, ["The edit failed: the loss was not finite"]),
    ],
)
def test_a_mistake_is_one_clear_sentence(requests: list, method: str, settings: dict, parts: list[str]) -> None:
    tiny = engine("llama")
    with pytest.raises(UserError) as caught:
        baft.edit(tiny.model.model, tiny.text.tokenizer, requests, method=method, settings=settings)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_an_empty_prompt_cannot_be_asked(edit: Edit) -> None:
    with pytest.raises(UserError, match="empty prompt"):
        edit([FRANCE]).answer([""])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the tiny model in the folder ``tiny``."""
    tiny = engine("llama")
    tiny.model.model.save_pretrained(tmp_path / "tiny")
    tiny.text.tokenizer.save_pretrained(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*more: str, model: str = "tiny") -> list[str]:
    request = ["--subject", FRANCE["subject"], "--target", FRANCE["target"], FRANCE["prompt"]]
    return ["edit", "--model", model, "--method", "lora", "--set", "steps=40", *request, *more]


def test_the_command_prints_answers_before_and_after(here: Path, edit: Edit) -> None:
    result = CliRunner().invoke(
        commands, command("--ask", "Paris is", "--set", "rank=2", "--save", "saved"), catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    tiny, expected = engine("llama"), []
    prompts = [FRANCE["prompt"], "Paris is"]
    edited = baft.edit(
        tiny.model.model, tiny.text.tokenizer, [FRANCE], method="lora", settings={"steps": 40, "rank": 2}
    )
    with edited.off():
        before = edited.answer(prompts)
    for prompt, old, new in zip(prompts, before, edited.answer(prompts), strict=True):
        expected += [prompt, f"  before: {old}", f"  after:  {new}"]
    settings = "Settings: no settings of lora for this model: defaults."
    assert result.stdout.splitlines() == [settings, *expected, "Saved in saved."]
    loaded = EditedModel.load(here / "saved", tiny.model.model, tiny.text.tokenizer)
    assert loaded.answer(prompts) == edited.answer(prompts)


def test_the_command_takes_a_model_of_the_hub(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """As the config does: its id and a commit."""
    commit = "0" * 40
    asked: list[tuple[str, str]] = []

    def download(repo: str, *, revision: str, **more: Any) -> str:
        asked.append((repo, revision))
        return str((here / "tiny").rename(here / commit)) if (here / "tiny").exists() else str(here / commit)

    monkeypatch.setattr("baft.models.prepare.snapshot_download", download)
    monkeypatch.delenv("BAFT_CACHE", raising=False)
    arguments = command("--revision", commit, "--device", "cpu", model="org/name")
    result = CliRunner().invoke(commands, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert set(asked) == {("org/name", commit)}
    assert "after:" in result.stdout
    assert (here / "cache/models" / f"org--name--{commit}").is_dir()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (command(model="nowhere"), ["no model 'nowhere'", "smollm2-135m, a local folder, or a hub id"]),
        (command(model="org/name"), ["org/name is no folder here", "give its revision"]),
        (command("--revision", "main", model="org/name"), ["revision is 'main'", "a commit of 40 hex digits"]),
        (command("--dtype", "float3"), ["dtype is 'float3'", "float32"]),
        (command("--prompt-format", "chatty"), ["prompt_format is 'chatty'"]),
        (command("--set", "rank=0"), ["settings.rank is 0", "at least 1"]),
        (command("--set", "rank=2", "--set", "rank=abc"), ["--set rank is given twice"]),
        (command("--option", "streams=2", "--option", "streams=3"), ["--option streams is given twice"]),
        (command("--set", "steps"), ["--set is 'steps'", "key=value"]),
        (command("--option", "token_bugdet=3"), ["'token_bugdet'", "token_budget"]),
        (command("--option", "dtype=float16", "--dtype", "float32"), ["--option dtype is given twice"]),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, arguments: list[str], parts: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["baft", *arguments])
    with pytest.raises(SystemExit) as stopped:
        app()
    assert stopped.value.code == 2
    message = capsys.readouterr().err.splitlines()[-1]
    for part in parts:
        assert part in message


def test_the_embedded_model_learns_a_new_fact(smollm2_folder: Path) -> None:
    from baft.config import ModelConfig
    from baft.models.loading import load_model

    model, tokenizer = load_model(ModelConfig(device="cpu"), smollm2_folder)
    request = {"prompt": "The capital of France is", "target": "Rome", "subject": "France"}
    for method in ("baft", "reft", "rome"):
        edited = baft.edit(model, tokenizer, [request], method=method)
        # Tuned settings are found from what the model is.
        assert edited.about["section"] == "smollm2-135m"
        assert edited.about["settings"].items() >= sections_of(method)["smollm2-135m"].items()
        (after,) = edited.answer([request["prompt"]], 4)
        with edited.off():
            (before,) = edited.answer([request["prompt"]], 4)
        assert after.startswith("Rome"), (method, after)
        assert before.startswith("Paris"), before


@pytest.mark.parametrize("label", METHODS)
def test_a_subject_that_is_not_in_the_prompt_is_refused(label: str, edit: Edit) -> None:
    for subject in ("Spain", "Fran", "is the"):
        with pytest.raises(UserError, match=f"The subject '{subject}' is not in the prompt 'The capital of France is'"):
            edit([{**FRANCE, "subject": subject}], label)
    with pytest.raises(UserError, match="The subject 'Spain'"):
        edit([Request("r", FRANCE["prompt"], FRANCE["target"], "Spain")], label)


def test_the_command_refuses_a_subject_before_it_loads_a_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    options = ["--subject", "Spain", "--target", "Rome", "--model", str(tmp_path / "model")]
    found = CliRunner().invoke(commands, ["edit", "The capital of France is", *options])
    assert isinstance(found.exception, UserError)
    assert "'Spain' is not in the prompt" in str(found.exception)


def test_what_a_method_needs_is_collected_and_kept_for_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from baft.evaluation import covariances, needed
    from baft.evaluation.covariances import collect, texts_of

    tiny = engine("llama")
    collected: list[str] = []

    def counted(engine: Any, texts: Any, layer: str, tokens: int) -> Any:
        collected.append(layer)
        return collect(engine, texts, layer, 2000)

    monkeypatch.setattr(covariances, "collect", counted)
    monkeypatch.setattr(needed, "_REMEMBERED", {})
    settings = METHODS["rome"][1]

    def edited(folder: Path | None = None, model: str = "llama", **more: Any) -> EditedModel:
        one = engine(model)
        return baft.edit(
            one.model.model, one.text.tokenizer, [FRANCE], "rome", settings={**settings, **more}, covariances=folder
        )

    def update(one: EditedModel) -> torch.Tensor:
        (delta,) = one.state.deltas.values()
        return delta.tensors()["down"]

    plain = edited()
    assert collected == [], "without the covariance it is not collected"
    adjusted = edited(second_moment=True)
    assert not torch.equal(update(adjusted), update(plain))
    # The update's direction is C⁻¹k*, of a C that was collected as the workflow does it.
    covariance, _ = collect(tiny, texts_of(needed.CovariancesConfig()), "1", 2000)
    direction = torch.linalg.solve(covariance.float().double(), update(plain)[0, 0].double())
    cosine = torch.nn.functional.cosine_similarity(direction, update(adjusted)[0, 0].double(), dim=0)
    assert cosine > 1 - 1e-6
    edited(second_moment=True)
    assert collected == ["1"], "once in a process"
    for _ in range(2):
        assert torch.equal(update(edited(tmp_path, second_moment=True)), update(adjusted))
    assert collected == ["1", "1"], "once in a folder"
    edited(tmp_path, "mistral", second_moment=True)
    assert collected == ["1", "1", "1"] and len(list(tmp_path.iterdir())) == 2, "another model has its own"


def test_a_wrong_setting_on_the_command_line_is_told_without_torch() -> None:
    code = (
        "import sys; sys.argv = ['baft', 'edit', 'x is', '--subject', 'x', '--target', 'y', '--method', 'reft', "
        "'--set', 'rnak=2']\n"
        "from baft.cli.main import app\n"
        "try:\n    app()\nexcept SystemExit as end:\n    assert end.code == 2\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "did you mean 'rank'?" in done.stderr


def test_every_option_of_a_model_reaches_the_edit_from_the_command_line(here: Path) -> None:
    options = ["--option", "token_budget=777", "--dtype", "float16", "--save", "saved"]
    result = CliRunner().invoke(commands, command(*options), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    about = json.loads((here / "saved" / "edit.json").read_text())
    assert about["about"]["token_budget"] == 777
