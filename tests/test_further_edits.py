"""Edits made, taken out, merged and saved one after another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf

import baft
from baft.edited import EditedModel
from baft.engine.state import EditState
from baft.errors import UserError
from baft.methods.base import Context
from baft.methods.registry import create
from baft.requests import read_requests
from tests.engine.test_fitting import METHODS
from tests.engine.tiny import PROMPTS, SUBJECTS, TARGETS, engine

REQUESTS = [
    {"prompt": prompt, "target": target, "subject": subject}
    for prompt, target, subject in zip(PROMPTS[:3], TARGETS, SUBJECTS, strict=False)
]


def made(label: str, requests: Any, kind: str = "llama", **options: Any) -> EditedModel:
    tiny, (method, settings) = engine(kind), METHODS[label]
    return baft.edit(tiny.model.model, tiny.text.tokenizer, requests, method=method, settings=settings, **options)


def same(one: EditState, other: EditState) -> bool:
    def tensors(state: EditState) -> dict[str, torch.Tensor]:
        return {f"{site}/{name}": t for site, d in state.deltas.items() for name, t in d.tensors().items()}

    own, others = tensors(one), tensors(other)
    return own.keys() == others.keys() and all(torch.equal(own[name], others[name]) for name in own)


@pytest.mark.parametrize("label", METHODS)
def test_a_further_edit_is_a_further_step_of_the_method(label: str) -> None:
    edited = made(label, REQUESTS[:2])
    assert edited.edit(REQUESTS[2]) is edited
    assert [(r.id, r.target) for r in edited.requests] == [(str(n), r["target"]) for n, r in enumerate(REQUESTS)]
    tiny, (name, settings) = engine("llama"), METHODS[label]
    method, requests = create(name, settings), read_requests(REQUESTS)
    state = method.fit(tiny, [requests[:2]], None, Context(0)).state
    expected = method.fit(tiny, [requests[2:]], state, Context(0)).state
    assert same(edited.state, expected)
    assert not same(edited.state, state)


@pytest.mark.parametrize("label", METHODS)
def test_a_request_taken_out_might_never_have_been_made(label: str) -> None:
    edited = made(label, REQUESTS[:2]).edit(REQUESTS[2])
    assert edited.remove(1) is edited
    kept = [{**REQUESTS[0], "id": "0"}, {**REQUESTS[2], "id": "2"}]
    assert same(edited.state, made(label, kept[0]).edit(kept[1]).state)
    assert [r.id for r in edited.requests] == ["0", "2"]
    # Numbers that were given once are not given again.
    edited.edit(REQUESTS[1])
    assert [r.id for r in edited.requests] == ["0", "2", "3"]
    for id in ("0", "2", "3"):
        edited.remove(id)
    assert edited.requests == []
    answers = edited.answer(PROMPTS)
    with edited.off():
        assert edited.answer(PROMPTS) == answers
    edited.edit(REQUESTS)
    assert same(edited.state, made(label, REQUESTS).state)


def test_a_failed_edit_leaves_the_others() -> None:
    edited = made("rome", REQUESTS[:2])
    before = edited.state
    for more in ({"prompt": "Paris is", "target": "Rome"}, {**REQUESTS[2], "id": "1"}, {**REQUESTS[2], "subject": "x"}):
        with pytest.raises(UserError):
            edited.edit(more)
    assert edited.state is before and len(edited.requests) == 2
    for which in (2, -3, "nobody", True, 1.5):
        with pytest.raises(UserError, match="There is no request"):
            edited.remove(which)


def test_a_loaded_edit_knows_its_requests_and_can_go_on(tmp_path: Path) -> None:
    edited = made("rome", REQUESTS[:2]).edit(REQUESTS[2])
    edited.save(tmp_path / "edit")
    tiny = engine("llama")
    loaded = EditedModel.load(tmp_path / "edit", tiny.model.model, tiny.text.tokenizer)
    assert loaded.requests == edited.requests
    more = {"prompt": PROMPTS[3], "target": TARGETS[3], "subject": SUBJECTS[3]}
    assert same(loaded.edit(more).state, edited.edit(more).state)
    assert same(loaded.remove(0).state, edited.remove(0).state)
    loaded.save(tmp_path / "again")
    assert len(EditedModel.load(tmp_path / "again", tiny.model.model, tiny.text.tokenizer).requests) == 3


def test_a_damaged_list_of_requests_is_refused(tmp_path: Path) -> None:
    made("rome", REQUESTS).save(tmp_path)
    path, tiny = tmp_path / "edit.json", engine("llama")
    path.write_text(path.read_text().replace('"target": ', '"tagret": '))
    with pytest.raises(UserError, match="its requests are not what they must be"):
        EditedModel.load(tmp_path, tiny.model.model, tiny.text.tokenizer)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2", "gpt_neox", "phi3"])
@pytest.mark.parametrize("label", ["lora", "rome", "ft_l"])
def test_a_merged_model_needs_nothing_of_this_package(label: str, kind: str, tmp_path: Path) -> None:
    edited = made(label, REQUESTS, kind)
    edited.edit({"prompt": PROMPTS[3], "target": TARGETS[3], "subject": SUBJECTS[3]})
    whole, plain = edited.merge(), engine(kind).model.model
    assert type(whole) is type(plain) and not isinstance(whole, EditedModel)
    whole.save_pretrained(tmp_path)
    again = hf.AutoModelForCausalLM.from_pretrained(tmp_path)
    for prompt in PROMPTS:
        ids = torch.tensor([engine(kind).text.prompt(prompt)])
        with torch.no_grad():
            expected = edited(ids).logits
            torch.testing.assert_close(again(ids).logits, expected, rtol=1e-3, atol=1e-3)
            assert not torch.allclose(plain(ids).logits, expected, atol=1e-2)
    own = {p.data_ptr() for p in plain.parameters()}
    assert not own & {p.data_ptr() for p in whole.parameters()}, "its weights are its own"
    assert all(p.requires_grad for p in whole.parameters()) and not whole.training


@pytest.mark.parametrize("label", ["reft", "baft"])
def test_an_edit_of_representations_cannot_be_merged(label: str) -> None:
    with pytest.raises(UserError, match="no change of weights and cannot be merged"):
        made(label, REQUESTS).merge()


def test_options_are_those_of_a_study(tmp_path: Path) -> None:
    tiny = engine("llama")
    tokenizer = hf.AutoTokenizer.from_pretrained(saved_tokenizer(tmp_path))
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}> {{ m.content }}\n{% endfor %}<assistant>"
    method, settings = METHODS["lora"]
    model = tiny.model.model
    chat = baft.edit(model, tokenizer, REQUESTS, method=method, settings=settings, prompt_format="chat")
    assert chat.engine.text.prompt_format == "chat"
    chat.save(tmp_path / "chat")
    assert EditedModel.load(tmp_path / "chat", model, tokenizer).answer(PROMPTS) == chat.answer(PROMPTS)
    names = {"attention": ["self_attn.o_proj"]}
    other = baft.edit(model, tokenizer, REQUESTS, method=method, settings=settings, modules=names)
    assert {site.module for site in other.state.deltas} == {"self_attn.o_proj"}
    for option, told in (
        ({"prompt_format": "chatty"}, "prompt_format is 'chatty'"),
        ({"modules": {"block": "x"}}, "block"),
        ({"token_budget": 0}, "token_budget is 0"),
    ):
        with pytest.raises(UserError, match=told) as caught:
            baft.edit(model, tokenizer, REQUESTS, method=method, settings=settings, **option)
        assert "\n" not in str(caught.value)


def saved_tokenizer(folder: Path) -> Path:
    engine("llama").text.tokenizer.save_pretrained(folder / "tokenizer")
    return folder / "tokenizer"


NOTEBOOK = """
import sys
from dataclasses import dataclass

import torch

import baft
from baft.engine.deltas import Offset
from baft.engine.positions import PromptEnds
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.methods.base import Method, Outcome, Training
from baft.methods.registry import register
from tests.engine.tiny import engine


@dataclass(frozen=True)
class Push(Offset):
    pass


{decorator}
class Mine(Method):
    name = "{name}"

    def edit(self, engine, batches, state, context):
        push = torch.full((len(batches), engine.model.hidden_size), self.settings["strength"])
        return Outcome(EditState(len(batches), {{Site(1): Push(PromptEnds(0, 1), push)}}), (Training(),) * len(batches))


tiny = engine("llama")
model, tokenizer = tiny.model.model, tiny.text.tokenizer
requests = [{{"prompt": "The capital of France is", "target": "Rome"}}]
edited = baft.edit(model, tokenizer, requests, method=Mine({{"strength": 9.0}}))
with edited.off():
    before = edited.answer("The capital of France is")
assert edited.answer("The capital of France is") != before
edited.save(sys.argv[1])
assert edited.about["method"] == "__main__.Mine", edited.about
again = baft.EditedModel.load(sys.argv[1], model, tokenizer, method=Mine({{"strength": 9.0}}))
again.edit({{"prompt": "Paris is", "target": "Rome"}})
try:
    baft.EditedModel.load(sys.argv[1], model, tokenizer).edit(requests)
except baft.errors.UserError as error:
    print(error)
"""


@pytest.mark.parametrize(("decorator", "name"), [("", "reft"), ("@register", "mine")])
def test_a_method_of_a_notebook_needs_no_file(decorator: str, name: str, tmp_path: Path) -> None:
    code = NOTEBOOK.format(decorator=decorator, name=name)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "was made by '__main__.Mine', which is no method of the package" in done.stdout


def test_a_method_that_was_made_has_its_settings() -> None:
    tiny, (name, settings) = engine("llama"), METHODS["lora"]
    model, tokenizer = tiny.model.model, tiny.text.tokenizer
    edited = baft.edit(model, tokenizer, REQUESTS, method=create(name, settings))
    assert edited.about["method"] == "lora" and edited.about["settings"].items() >= settings.items()
    assert same(edited.state, made("lora", REQUESTS).state)
    with pytest.raises(UserError, match="leave out settings"):
        baft.edit(model, tokenizer, REQUESTS, method=create(name, settings), settings={"rank": 3})
    with pytest.raises(UserError, match="must be one of transformers"):
        baft.edit("gpt2", tokenizer, REQUESTS)
