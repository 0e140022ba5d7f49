"""An edited model where a model of transformers works: what it says is what the engine says."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import transformers as hf
from torch import Tensor

import baft
from baft.edited import EditedModel
from baft.engine.asking import Decoding, Question
from baft.engine.engine import Engine
from baft.engine.positions import Everywhere, PromptEnds
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError
from tests.engine.test_fitting import METHODS
from tests.engine.tiny import PROMPTS, SUBJECTS, TARGETS, engine
from tests.engine.toys import LatestFact, NearestOffset

REQUESTS = [
    {"prompt": prompt, "target": target, "subject": subject}
    for prompt, target, subject in zip(PROMPTS[:3], TARGETS, SUBJECTS, strict=False)
]
KINDS = ("llama", "gpt2", "gemma2")
LABELS = ("reft", "reft ends", "baft", "ft_l", "lora", "rome", "deciding")
NEW = 6
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def edited_model(kind: str, label: str) -> EditedModel:
    tiny = engine(kind)
    if label != "deciding":
        method, settings = METHODS[label]
        return baft.edit(tiny.model.model, tiny.text.tokenizer, REQUESTS, method=method, settings=settings)
    edited = baft.edit(tiny.model.model, tiny.text.tokenizer, REQUESTS, method="none")
    # Of eight prompts some are near a key and some are not.
    generator = torch.Generator().manual_seed(0)
    site = Site(1)
    states = []
    for prompt in PROMPTS[:4]:
        ids = torch.tensor([tiny.text.prompt(prompt)])
        hidden = tiny.model.model(ids, output_hidden_states=True).hidden_states[2]
        states.append(hidden[0].mean(0).float())
    values = 8 * torch.randn(1, 4, tiny.model.hidden_size, generator=generator)
    delta = NearestOffset(PromptEnds(0, 2), torch.stack(states)[None], values, site, 1e-2)
    edited.state = EditState(1, {site: delta})
    return edited


@pytest.fixture(params=[(kind, label) for kind in KINDS for label in LABELS], ids="-".join)
def edited(request: pytest.FixtureRequest) -> EditedModel:
    return edited_model(*request.param)


def own(edited: EditedModel) -> Engine:
    return edited.engine


def padded(edited: EditedModel, prompts: Any, left: bool = True) -> dict[str, Tensor]:
    """Token ids of prompts as the engine has them, padded."""
    rows = [own(edited).text.prompt(prompt) for prompt in prompts]
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), own(edited).text.pad)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        place = slice(width - len(row), width) if left else slice(0, len(row))
        ids[i, place], mask[i, place] = torch.tensor(row), 1
    return {"input_ids": ids, "attention_mask": mask}


def texts(edited: EditedModel, found: Tensor, width: int) -> list[str]:
    return [own(edited).text.decode(row[width:].tolist()).strip() for row in found]


def engines_answers(edited: EditedModel, prompts: Any) -> list[str]:
    questions = [Question(0, tuple(own(edited).text.prompt(prompt))) for prompt in prompts]
    state = edited.state if edited.active else None
    return [reply.decoded for reply in own(edited).ask(state, questions, Decoding(NEW, ()))]


def forced(edited: EditedModel, prompt: str, answer: str) -> list[float]:
    """The engine's log-probabilities of an answer's tokens."""
    text = own(edited).text
    question = Question(0, tuple(text.prompt(prompt)), (tuple(text.answer(prompt, answer)),))
    (reply,) = own(edited).ask(edited.state if edited.active else None, [question], Decoding(0, ()))
    return reply.forced[0].logprob


def test_it_is_a_model_of_its_class(edited: EditedModel) -> None:
    plain = own(edited).model.model
    assert isinstance(edited, type(plain)) and isinstance(edited, hf.PreTrainedModel)
    assert edited.config == plain.config and edited.device == plain.device and edited.dtype == plain.dtype
    assert edited.generation_config.eos_token_id == plain.generation_config.eos_token_id
    assert all(a is b for a, b in zip(edited.parameters(), plain.parameters(), strict=True)), "no weight is held twice"


def test_a_batch_with_padding_is_continued_as_the_engine_does(edited: EditedModel) -> None:
    rows = padded(edited, PROMPTS)
    width = rows["input_ids"].shape[1]
    found = edited.generate(**rows, max_new_tokens=NEW, do_sample=False)
    expected = engines_answers(edited, PROMPTS)
    assert texts(edited, found, width) == expected
    with edited.off():
        plain = edited.generate(**rows, max_new_tokens=NEW, do_sample=False)
        assert texts(edited, plain, width) == engines_answers(edited, PROMPTS) != expected
    # Without a cache each step runs the whole of it again, and the prompt's end must stay where it was.
    again = edited.generate(**rows, max_new_tokens=NEW, do_sample=False, use_cache=False)
    assert torch.equal(again, found)


def test_a_forward_pass_scores_as_the_engine_does(edited: EditedModel) -> None:
    text, answer = own(edited).text, "Rome and Warsaw"
    rows = [(text.prompt(p), text.answer(p, answer)) for p in PROMPTS]
    width = max(len(p) + len(a) for p, a in rows)
    expected = [forced(edited, prompt, answer) for prompt in PROMPTS]
    with edited.off():
        before = [forced(edited, prompt, answer) for prompt in PROMPTS]
    assert not torch.allclose(torch.tensor(expected[0]), torch.tensor(before[0]), atol=1e-2)
    for left in (True, False):
        ids = torch.full((len(rows), width), text.pad)
        mask = torch.zeros_like(ids)
        for i, (p, a) in enumerate(rows):
            start = width - len(p) - len(a) if left else 0
            ids[i, start : start + len(p) + len(a)] = torch.tensor([*p, *a])
            mask[i, start : start + len(p) + len(a)] = 1
        lengths = [len(p) for p, _ in rows]
        with torch.no_grad():
            logits = edited(input_ids=ids, attention_mask=mask, prompt_lengths=lengths, **places(mask)).logits
        for i, (p, a) in enumerate(rows):
            start = (width - len(p) - len(a) if left else 0) + len(p) - 1
            logprobs = logits[i, start : start + len(a)].log_softmax(-1)
            found = logprobs[torch.arange(len(a)), torch.tensor(a)]
            torch.testing.assert_close(found, torch.tensor(expected[i]), **CLOSE)


def places(mask: Tensor) -> dict[str, Tensor]:
    """Positions of left-padded rows, which a plain forward of transformers must be given."""
    return {"position_ids": (mask.cumsum(1) - 1).clamp(min=0)}


@torch.no_grad()
def test_a_pass_without_lengths_takes_all_of_it_for_the_prompt(edited: EditedModel) -> None:
    ids = torch.tensor([own(edited).text.prompt(PROMPTS[0])])
    whole = edited(ids).logits
    torch.testing.assert_close(whole, edited(ids, prompt_lengths=ids.shape[1]).logits, rtol=0, atol=0)
    # What is read after the last token is what the engine's first answer token is chosen from.
    answer = own(edited).text.answer(PROMPTS[0], "Rome")
    found = whole[0, -1].log_softmax(-1)[answer[0]]
    assert found.item() == pytest.approx(forced(edited, PROMPTS[0], "Rome")[0], rel=1e-4)


@torch.no_grad()
def test_a_cache_carries_the_prompt_along(edited: EditedModel) -> None:
    text = own(edited).text
    prompt, answer = text.prompt(PROMPTS[0]), text.answer(PROMPTS[0], "Rome and Warsaw")
    first = edited(torch.tensor([prompt]), use_cache=True)
    # Kept copies are caches too.
    cache = copy.deepcopy(first.past_key_values)
    logits = [first.logits[:, -1:], edited(torch.tensor([answer[:-1]]), past_key_values=cache).logits]
    found = torch.cat(logits, 1)[0].log_softmax(-1)[torch.arange(len(answer)), torch.tensor(answer)]
    torch.testing.assert_close(found, torch.tensor(forced(edited, PROMPTS[0], "Rome and Warsaw")), **CLOSE)


def test_sampling_and_beams_do_not_depend_on_the_cache(edited: EditedModel) -> None:
    rows = padded(edited, PROMPTS[:3])
    options: list[dict[str, Any]] = [
        {"do_sample": True, "num_return_sequences": 2, "top_k": 0},
        {"do_sample": False, "num_beams": 3, "num_return_sequences": 2},
    ]
    for option in options:
        found = []
        for cached in (True, False):
            torch.manual_seed(3)
            found.append(edited.generate(**rows, **option, max_new_tokens=NEW, use_cache=cached))
        assert torch.equal(*found)
        torch.manual_seed(3)
        with edited.off():
            assert not torch.equal(edited.generate(**rows, **option, max_new_tokens=NEW), found[0])


def test_a_static_cache_gives_the_same(edited: EditedModel) -> None:
    rows = padded(edited, PROMPTS[:3])
    expected = edited.generate(**rows, max_new_tokens=NEW, do_sample=False)
    found = edited.generate(**rows, max_new_tokens=NEW, do_sample=False, cache_implementation="static")
    assert torch.equal(found, expected)


@torch.no_grad()
def test_hidden_states_are_the_edited_ones(edited: EditedModel) -> None:
    ids = torch.tensor([own(edited).text.prompt(PROMPTS[0])])
    states = edited(ids, output_hidden_states=True).hidden_states
    with edited.off():
        before = edited(ids, output_hidden_states=True).hidden_states
    changed = [not torch.allclose(a, b, atol=1e-5) for a, b in zip(states, before, strict=True)]
    first = min(site.layer for site in edited.state.deltas) + 1
    assert changed == [False] * first + [True] * (len(states) - first)


def test_a_pipeline_and_a_streamer(capsys: pytest.CaptureFixture) -> None:
    edited = edited_model("llama", "reft")
    tokenizer = own(edited).text.tokenizer
    pipe = hf.pipeline("text-generation", model=edited, tokenizer=tokenizer, device=-1)
    config = hf.GenerationConfig(max_new_tokens=NEW, do_sample=False, pad_token_id=0, eos_token_id=1)
    for size in (1, 3):
        tokenizer.padding_side = "left"
        found = pipe(list(PROMPTS), generation_config=config, batch_size=size, return_full_text=False)
        assert [one[0]["generated_text"].strip() for one in found] == engines_answers(edited, PROMPTS)
    rows = padded(edited, PROMPTS[:1])
    streamer = hf.TextStreamer(tokenizer, skip_prompt=True)
    capsys.readouterr()
    edited.generate(**rows, generation_config=config, streamer=streamer)
    assert capsys.readouterr().out.strip() == engines_answers(edited, PROMPTS[:1])[0]


def test_assisted_decoding_knows_where_the_prompt_ended() -> None:
    edited = edited_model("llama", "reft ends")
    rows = padded(edited, PROMPTS[:1])
    expected = edited.generate(**rows, max_new_tokens=12, do_sample=False)
    found = edited.generate(**rows, max_new_tokens=12, do_sample=False, prompt_lookup_num_tokens=3)
    assert torch.equal(found, expected)


def test_padding_is_told_as_transformers_tells_it() -> None:
    edited = edited_model("llama", "reft ends")
    rows = padded(edited, PROMPTS)
    found = edited.generate(rows["input_ids"], max_new_tokens=NEW, do_sample=False)
    assert torch.equal(found, edited.generate(**rows, max_new_tokens=NEW, do_sample=False))


def test_what_cannot_be_right_is_refused() -> None:
    edited = edited_model("llama", "reft ends")
    ids = torch.tensor([own(edited).text.prompt(PROMPTS[0])])
    cache = edited(ids, use_cache=True).past_key_values
    more = torch.tensor([[5]])
    with edited.off():
        with pytest.raises(UserError, match="run with other edits, or with none"):
            edited(more, past_key_values=copy.deepcopy(cache))
        plain = edited(ids, use_cache=True).past_key_values
    for told, arguments in {
        "run with other edits, or with none": {"input_ids": more, "past_key_values": plain},
        "another end of the prompt": {"input_ids": more, "past_key_values": cache, "prompt_lengths": 2},
        "prompt_lengths is 99 for row 0": {"input_ids": ids, "prompt_lengths": 99},
        "prompt_lengths is 0 for row 0": {"input_ids": ids, "prompt_lengths": [0]},
        "one number for 1 rows": {"input_ids": ids, "prompt_lengths": [2, 3]},
        "give a number of tokens": {"input_ids": ids, "prompt_lengths": "two"},
        "give such a one as token_mask": {"input_ids": ids, "attention_mask": torch.ones(1, 2)},
        "padding between a row's tokens": {
            "input_ids": ids,
            "attention_mask": torch.tensor([[1, 0] + [1] * (ids.shape[1] - 2)]),
        },
    }.items():
        with pytest.raises(UserError, match=told):
            edited(**arguments)
    # A further edit makes another model, which cannot go on from what this one has read.
    edited.edit({"prompt": "Paris is", "target": "Rome"})
    with pytest.raises(UserError, match="run with other edits"):
        edited(more, past_key_values=cache)
    for call in (edited.save_pretrained, edited.push_to_hub):
        with pytest.raises(UserError, match="merge"):
            call("x")
    with pytest.raises(UserError, match="merge"):
        edited.state_dict()
    with pytest.raises(UserError, match="cannot be trained"):
        edited.train()
    assert edited.eval() is edited
    with pytest.raises(UserError, match="use answer"):
        edited.generate("a text")
    with pytest.raises(UserError, match="edited already"):
        baft.edit(edited, own(edited).text.tokenizer, REQUESTS)


def test_text_before_the_prompt_is_for_answers_alone() -> None:
    edited = edited_model("llama", "lora")
    facts = ((("r", "The capital of France is Rome"),),)
    edited.state = EditState(1, {}, {}, LatestFact(facts, torch.ones(1, 1), "."))
    ids = torch.tensor([[5, 6]])
    for call in (lambda: edited(ids), lambda: edited.generate(ids)):
        with pytest.raises(UserError, match=r"cannot act on tokens: use answer\(\[\.\.\.\]\)"):
            call()
    with edited.off():
        assert edited(ids).logits.shape[1] == 2
    changed = edited.answer("The capital of France is")
    assert len(changed) == 1


def test_the_callers_model_is_left_as_it_was() -> None:
    tiny = engine("llama")
    model = copy.deepcopy(tiny.model.model).requires_grad_(True)
    model.model.layers[0].requires_grad_(False)
    model.train()
    model.model.layers[1].eval()
    grads = [p.requires_grad for p in model.parameters()]
    modes = [m.training for m in model.modules()]
    hooks = [len(m._forward_hooks) for m in model.modules()]
    values = [p.clone() for p in model.parameters()]
    edited = baft.edit(model, tiny.text.tokenizer, REQUESTS, method="lora", settings=METHODS["lora"][1])
    edited.eval()
    edited.answer(PROMPTS)
    edited.generate(**padded(edited, PROMPTS), max_new_tokens=2)
    edited.generation_config.max_new_tokens = 3
    assert [p.requires_grad for p in model.parameters()] == grads
    assert [m.training for m in model.modules()] == modes
    assert [len(m._forward_hooks) for m in model.modules()] == hooks
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), values, strict=True))
    assert all(a.data_ptr() == b.data_ptr() for a, b in zip(model.parameters(), edited.parameters(), strict=True))
    assert model.generation_config.max_new_tokens != 3
    model(torch.tensor([[5, 6]]), labels=torch.tensor([[5, 6]])).loss.backward()
    assert model.model.layers[1].mlp.down_proj.weight.grad is not None


def test_in_another_number_format_the_edit_comes_along() -> None:
    edited = edited_model("llama", "reft")
    before = own(edited).model.model.dtype
    expected = edited.answer(PROMPTS)
    assert edited.to(torch.float64) is edited
    assert edited.dtype == torch.float64 and own(edited).model.dtype == torch.float64
    assert edited.answer(PROMPTS) == expected
    assert engine("llama").model.model.dtype == before == torch.float32, "the caller's model is not converted"


def test_everywhere_edits_need_no_boundary() -> None:
    edited = edited_model("llama", "lora")
    assert all(isinstance(delta.where, Everywhere) for delta in edited.state.deltas.values())
    ids = torch.tensor([own(edited).text.prompt(PROMPTS[0])])
    cache = edited(ids, use_cache=True).past_key_values
    one = edited(torch.tensor([[5]]), past_key_values=cache, prompt_lengths=2).logits
    whole = edited(torch.cat([ids, torch.tensor([[5]])], 1)).logits[:, -1:]
    torch.testing.assert_close(one, whole, **CLOSE)
