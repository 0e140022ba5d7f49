from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from baft.engine.asking import Decoding, Question, greedy
from baft.engine.budget import TokenBudget
from baft.engine.cutting import PASS_TOKENS
from baft.engine.deltas import Dense, Subspace
from baft.engine.engine import Engine
from baft.engine.plain_asking import PlainAsking
from baft.engine.positions import Everywhere, PromptEnds
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError
from tests.engine.tiny import PROMPTS, TARGETS

DECODING = Decoding(6, ())


@pytest.fixture(params=[1000, 0], ids=["all prompts together", "a pass for each length"])
def overhead(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setitem(PASS_TOKENS, "cpu", request.param)
    return request.param


def questions(engine: Engine) -> list[Question]:
    """Out of order in length, several streams, none to three answers of one to many tokens."""
    found = []
    for number, prompt in enumerate(PROMPTS):
        answers = [TARGETS[(number + k) % len(TARGETS)] for k in range(number % 4)]
        forced = tuple(tuple(engine.text.answer(prompt, answer)) for answer in answers)
        found.append(Question(number % 3, tuple(engine.text.prompt(prompt)), forced))
    found[1] = replace(found[1], forced=((5,), *found[1].forced))
    return found


def alone(model: torch.nn.Module, question: Question) -> list[tuple[list[int], Tensor]]:
    """Own choices and log-probabilities at each forced answer, one plain forward each."""
    found = []
    for answer in question.forced:
        ids = torch.tensor([[*question.prompt, *answer]])
        with torch.no_grad():
            logits = model(input_ids=ids, use_cache=False).logits[0, len(question.prompt) - 1 : -1].float()
        logprob = logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None])[:, 0]
        found.append((logits.argmax(-1).tolist(), logprob))
    return found


def compare(replies: Sequence, models: Sequence[torch.nn.Module], asked: Sequence[Question]) -> None:
    for reply, question in zip(replies, asked, strict=True):
        expected = alone(models[question.stream], question)
        assert len(reply.forced) == len(expected)
        for forced, (argmax, logprob) in zip(reply.forced, expected, strict=True):
            assert forced.argmax == argmax
            torch.testing.assert_close(torch.tensor(forced.logprob), logprob, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("budget", [4096, 40, 1], ids=["one batch", "small batches", "one by one"])
def test_forced_answers_are_those_of_plain_forwards(tiny: Engine, budget: int, overhead: int) -> None:
    asked = questions(tiny)
    replies = replace(tiny, budget=TokenBudget(budget)).ask(None, asked, DECODING)
    compare(replies, [tiny.model.model] * 3, asked)


def test_greedy_decoding_is_that_of_generate(tiny: Engine, overhead: int) -> None:
    asked = questions(tiny)
    chosen: list[list[int]] = [[] for _ in asked]

    def record(logits: Tensor, numbers: Sequence[int], step: int) -> Tensor:
        tokens = greedy(logits, numbers, step)
        for number, token in zip(numbers, tokens.tolist(), strict=True):
            chosen[number].append(token)
        return tokens

    replies = tiny.ask(None, asked, DECODING, record)
    for question, tokens, reply in zip(asked, chosen, replies, strict=True):
        ids = torch.tensor([question.prompt])
        expected = tiny.model.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False
        )[0, len(question.prompt) :].tolist()
        assert tokens == expected
        assert reply.decoded == tiny.text.decode(expected).strip()


def test_a_stream_is_a_model_with_its_own_weights(tiny: Engine, overhead: int) -> None:
    site = Site(1, tiny.model.architecture.mlp_down)
    wide, tall = tiny.model.widths(site)
    change = 0.3 * torch.randn(3, tall, wide, generator=torch.Generator().manual_seed(2))
    models = []
    for own in change:
        model = copy.deepcopy(tiny.model.model)
        weight = model.get_submodule(tiny.model.architecture.blocks)[1].get_submodule(site.module).weight
        weight.data += own if weight.shape == own.shape else own.T
        models.append(model)
    asked = questions(tiny)
    replies = tiny.ask(EditState(len(change), {site: Dense(Everywhere(), change)}), asked, DECODING)
    compare(replies, models, asked)
    for question, reply in zip(asked, replies, strict=True):
        ids = torch.tensor([question.prompt])
        expected = models[question.stream].generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False
        )[0, len(question.prompt) :]
        assert reply.decoded == tiny.text.decode(expected.tolist()).strip()


def test_an_edit_of_the_prompt_reaches_answers_through_the_cache(tiny: Engine) -> None:
    # The prompt's last token is edited while it is read; the answer's own tokens never are.
    draw = torch.Generator().manual_seed(3)
    rotation = torch.linalg.qr(torch.randn(3, 32, 4, generator=draw))[0].mT
    weight, bias = torch.randn(3, 4, 32, generator=draw), torch.randn(3, 4, generator=draw)
    asked = questions(tiny)
    replies = tiny.ask(
        EditState(len(bias), {Site(1): Subspace(PromptEnds(0, 1), rotation, weight, bias)}), asked, DECODING
    )
    for question, reply in zip(asked, replies, strict=True):
        s, at = question.stream, len(question.prompt) - 1

        def edit(module, args, output, s=s, at=at):
            hidden = (output[0] if isinstance(output, tuple) else output).clone()
            h = hidden[:, at]
            hidden[:, at] = h + (h @ weight[s].T + bias[s] - h @ rotation[s].T) @ rotation[s]
            return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

        handle = tiny.model.blocks[1].register_forward_hook(edit)
        try:
            compare([reply], [tiny.model.model] * 3, [question])
        finally:
            handle.remove()


def test_decoding_stops_where_it_is_told(tiny_llama: Engine) -> None:
    words = iter(tiny_llama.text.tokenizer("\nParis is\nnot Rome").input_ids)

    def spell(logits: Tensor, numbers: Sequence[int], step: int) -> Tensor:
        return torch.tensor([next(words)])

    question = Question(0, tuple(tiny_llama.text.prompt("The capital is")))
    assert tiny_llama.ask(None, [question], Decoding(30), spell)[0].decoded == "Paris is"


@pytest.mark.parametrize("own", [False, True], ids=["the engine's model", "a model of its own"])
def test_a_special_token_that_is_a_stop_string_ends_the_answer(tiny_llama: Engine, own: bool) -> None:
    """It is no end token of the model and not in the decoded text."""
    text, unedited = tiny_llama.text, tiny_llama.model
    says = [*text.tokenizer("Paris").input_ids, text.tokenizer.pad_token_id, *text.tokenizer(" is not Rome").input_ids]
    words = iter(says)

    def spell(logits: Tensor, numbers: Sequence[int], step: int) -> Tensor:
        return torch.tensor([next(words)])

    def ask(*stop: str) -> str:
        question, decoding = Question(0, tuple(text.prompt("The capital is"))), Decoding(len(says), stop)
        if own:
            return PlainAsking(unedited.model, unedited, text).ask([question], [0], decoding, spell)[0].decoded
        return tiny_llama.ask(None, [question], decoding, spell)[0].decoded

    assert ask() == "Paris is not Rome"
    words = iter(says)
    assert ask("<pad>", "\n") == "Paris"
    with pytest.raises(UserError, match=r"stop has '<pad>\\n', with the special token '<pad>'.*: give the token alone"):
        ask("<pad>\n")


@pytest.mark.parametrize(
    ("says", "stop", "uncut", "decoded"),
    [
        ("Roses are\nred\nand more", ("\n",), ("roses are\nred",), "Roses are\nred"),
        ("Roses are\nblue\nand more", ("\n",), ("Roses are\nred",), "Roses are"),
        ("Paris\nand more", ("\n",), ("Roses are\nred", "Paris"), "Paris"),
        ("3.5. And", (".",), ("3.5",), "3.5"),
        ("3. And", (".",), ("3.5",), "3"),
        ("U.S. And", (".",), ("U.S.",), "U.S"),
        ("Roses are\n\nred", ("\n",), ("Roses are\n\nred",), "Roses are\n\nred"),
        ("a b\nc", ("\n", "b"), ("a b\nc",), "a b\nc"),
    ],
)
def test_a_stop_string_does_not_cut_an_answer_that_has_it(
    tiny_llama: Engine, says: str, stop: tuple[str, ...], uncut: tuple[str, ...], decoded: str
) -> None:
    words = iter([*tiny_llama.text.tokenizer(says).input_ids, tiny_llama.text.tokenizer.eos_token_id])

    def spell(logits: Tensor, numbers: Sequence[int], step: int) -> Tensor:
        return torch.tensor([next(words)])

    question = Question(0, tuple(tiny_llama.text.prompt("The capital is")), uncut=uncut)
    assert tiny_llama.ask({}, [question], Decoding(60, stop), spell)[0].decoded == decoded


def test_an_end_token_ends_a_row_and_not_its_neighbours(tiny_llama: Engine) -> None:
    end, word = tiny_llama.text.tokenizer.eos_token_id, tiny_llama.text.tokenizer("a").input_ids[0]

    def choose(logits: Tensor, numbers: Sequence[int], step: int) -> Tensor:
        return torch.tensor([end if n == 0 else word for n in numbers])

    asked = [Question(0, tuple(tiny_llama.text.prompt(p))) for p in PROMPTS[:2]]
    replies = tiny_llama.ask(None, asked, Decoding(4), choose)
    assert [r.decoded for r in replies] == ["", "aaaa"]


def test_a_question_may_be_decoded_for_longer_than_others(tiny_llama: Engine) -> None:
    word = tiny_llama.text.tokenizer("a").input_ids[0]

    def choose(logits: Tensor, numbers: Sequence[int], step: int) -> Tensor:
        return torch.full((len(numbers),), word)

    prompts = [tuple(tiny_llama.text.prompt(p)) for p in PROMPTS[:3]]
    asked = [Question(0, prompt, least=least) for prompt, least in zip(prompts, (0, 5, 1), strict=True)]
    assert [r.decoded for r in tiny_llama.ask(None, asked, Decoding(2), choose)] == ["aa", "aaaaa", "aa"]


def test_states_put_through_the_head_again_are_the_models_own_logits(
    tiny: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    if tiny.model.model.config.model_type == "gemma2":
        monkeypatch.setattr(tiny.model.model.config, "final_logit_softcapping", 2.0)
    asked = [replace(question, keep=True) for question in questions(tiny) if question.forced]
    for question, reply in zip(asked, tiny.ask(None, asked, DECODING), strict=True):
        states = reply.forced[0].states
        assert states is not None
        assert states.shape == (len(question.forced[0]), 32)
        assert all(forced.states is None for forced in reply.forced[1:])
        with torch.no_grad():
            ids = torch.tensor([[*question.prompt, *question.forced[0]]])
            logits = tiny.model.model(input_ids=ids, use_cache=False).logits[0, len(question.prompt) - 1 : -1]
            torch.testing.assert_close(tiny.model.head(states), logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("budget", [4096, 40], ids=["one batch", "small batches"])
def test_the_divergence_is_that_of_whole_distributions(tiny: Engine, budget: int) -> None:
    engine = replace(tiny, budget=TokenBudget(budget))
    site = Site(1, tiny.model.architecture.mlp_down)
    wide, tall = tiny.model.widths(site)
    change = 0.3 * torch.randn(3, tall, wide, generator=torch.Generator().manual_seed(2))
    asked = questions(tiny)
    before = engine.ask(None, [replace(q, keep=True) for q in asked], Decoding(0))
    # Every other question has a reference.
    given = [
        replace(q, reference=r.forced[0].states) if n % 2 and q.forced else q
        for n, (q, r) in enumerate(zip(asked, before, strict=True))
    ]
    replies = engine.ask(EditState(len(change), {site: Dense(Everywhere(), change)}), given, Decoding(0))
    pre = copy.deepcopy(tiny.model.model).double()
    for question, reply in zip(given, replies, strict=True):
        if question.reference is None:
            assert all(forced.kl is None for forced in reply.forced)
            continue
        post = copy.deepcopy(pre)
        weight = post.get_submodule(tiny.model.architecture.blocks)[1].get_submodule(site.module).weight
        own = change[question.stream].double()
        weight.data += own if weight.shape == own.shape else own.T
        ids = torch.tensor([[*question.prompt, *question.forced[0]]])
        with torch.no_grad():
            p, q = (
                model(input_ids=ids, use_cache=False).logits[0, len(question.prompt) - 1 : -1].log_softmax(-1)
                for model in (pre, post)
            )
        expected = (p.exp() * (p - q)).sum(-1)
        assert float(expected.min()) > 1e-3
        torch.testing.assert_close(torch.tensor(reply.forced[0].kl).double(), expected, atol=1e-4, rtol=1e-3)


def test_without_a_state_the_unedited_model_is_asked(tiny_llama: Engine) -> None:
    prompt = tuple(tiny_llama.text.prompt("Paris is"))
    asked = [Question(0, prompt, (tuple(tiny_llama.text.answer("Paris is", "Rome")),))]
    empty: dict[str, int] = {}
    nothing, none = (tiny_llama.ask(state, asked, Decoding(2)) for state in (empty, None))  # type: ignore[arg-type]
    ids = torch.tensor([[*prompt, *asked[0].forced[0]]])
    with torch.no_grad():
        logp = tiny_llama.model.model(input_ids=ids).logits[0].log_softmax(-1)
    expected = [float(logp[len(prompt) - 1 + n, token]) for n, token in enumerate(asked[0].forced[0])]
    for (reply,) in (nothing, none):
        assert reply.forced[0].logprob == pytest.approx(expected, abs=1e-4)
