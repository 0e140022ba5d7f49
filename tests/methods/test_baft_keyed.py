"""BaFT with keys: which edit a prompt opens, against plain arithmetic, and what the edits of a stream owe each other."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from baft.benchmarks.irrelevant import Template, load_pool
from baft.engine.asking import Decoding, Question
from baft.engine.engine import Engine
from baft.engine.rows import Row, collate
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError
from baft.methods.baft_keyed import OF_A_STREAM, BaftKeyed, KeyedSubspace
from baft.methods.base import Context, Request, digest
from baft.methods.late_interaction import SAME
from baft.methods.prompt_keys import background_prompts
from baft.methods.registry import create
from tests.engine.tiny import PROMPTS, SUBJECTS, TARGETS, engine

REQUESTS = [
    Request(f"r{n}", prompt, target, subject)
    for n, (prompt, target, subject) in enumerate(zip(PROMPTS, TARGETS, SUBJECTS, strict=True))
]
TINY = {"layer": 1, "rank": 2, "steps": 4, "lr": 5e-2}


def fitted(tiny: Engine, batches: list[list[Request]], state: EditState | None = None, **settings: object) -> EditState:
    outcome = create("baft_keyed", {**TINY, **settings}).fit(tiny, batches, state, Context())
    assert [t.error for t in outcome.trainings] == [None] * len(batches)
    return outcome.state


def delta_of(state: EditState) -> KeyedSubspace:
    (delta,) = state.deltas.values()
    assert isinstance(delta, KeyedSubspace)
    return delta


def decided(tiny: Engine, state: EditState, prompts: list[str], stream: int = 0) -> list[int]:
    delta = delta_of(state)
    ids = [tiny.text.prompt(prompt) for prompt in prompts]
    batch = collate([Row(stream, tuple(own), len(own)) for own in ids], tiny.model.device, tiny.pad)
    with torch.no_grad(), tiny.model.edited((), batch, {}, True, (delta.read,)) as seen:
        tiny.model._call(tiny.model.base, batch, None, None)
        return delta.decide(seen, batch).tolist()


def states_of(tiny: Engine, prompt: str) -> Tensor:
    """Block 0's output by the model library itself, each token at a root mean square of 1."""
    with torch.no_grad():
        hidden = tiny.model.model(torch.tensor([tiny.text.prompt(prompt)]), output_hidden_states=True).hidden_states[1][
            0
        ]
    return hidden / hidden.square().mean(-1, keepdim=True).sqrt()


def covered(keys: Tensor, weights: Tensor, text: Tensor) -> float:
    """Σ w max cos / Σ w, token by token."""
    total = 0.0
    for key, weight in zip(keys, weights, strict=True):
        total += float(weight) * max(0.0, *(float(torch.cosine_similarity(key, h, dim=0)) for h in text))
    return total / float(weights.sum())


def rareness(key: Tensor, mean: Tensor, background: list[Tensor]) -> float:
    n = len(background)
    count = sum(max(float(torch.cosine_similarity(key, h - mean, dim=0)) for h in text) > SAME for text in background)
    return math.log((1 + 1 / n) / (count / n + 1 / n))


def statement(tiny: Engine, template: Template, mean: Tensor, background: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The keys of the two rarest words of a plain statement of the background, and how rare they are."""
    number = load_pool().statements.index(template)
    fitting = [s.name for s in load_pool().subjects if template.kind in ("any", s.kind)]
    subject = fitting[number % len(fitting)]
    text = template.fill(subject)
    keys, n = states_of(tiny, text) - mean, len(background)
    named = tiny.text.tokens_of(text, subject)
    unit, others = (torch.nn.functional.normalize(h, dim=-1) for h in (keys, torch.cat(background) - mean))
    rare = []
    for place, found in enumerate(unit @ others.T > SAME):
        count = sum(bool(part.any()) for part in found.split([len(h) for h in background]))
        rare.append((0.0 if place in named else math.log((1 + 1 / n) / (count / n + 1 / n)), place))
    most = sorted(rare)[-2:]
    return keys[[place for _, place in most]], torch.tensor([weight for weight, _ in most], dtype=torch.float64)


def test_keys_thresholds_and_decisions_are_those_of_plain_arithmetic() -> None:
    tiny = engine("llama", torch.float64)
    request = Request("r", "The mother tongue of Danielle Darrieux is", "German", "Danielle Darrieux")
    state = fitted(tiny, [[request]], tokens=100, width=1000, subject=0.4, behind=0.05)
    delta = delta_of(state)
    background = [states_of(tiny, text) for text in background_prompts()]
    mean = torch.cat(background).mean(0)
    torch.testing.assert_close(delta.mean[0], mean, atol=1e-6, rtol=0)
    keys = states_of(tiny, request.prompt) - mean
    weights = torch.tensor([rareness(key, mean, background) for key in keys], dtype=torch.float64)
    tokens = [tiny.text.decode([token]) for token in tiny.text.prompt(request.prompt)]
    begin = next(i for i in range(len(tokens)) if "".join(tokens[i:]).strip().startswith("Danielle"))
    end = next(i for i in range(len(tokens)) if "".join(tokens[: i + 1]).strip().endswith("Darrieux")) + 1
    about = torch.tensor([begin <= i < end for i in range(len(tokens))])
    others = [
        states_of(tiny, template.fill(request.subject)) - mean
        for template in (*load_pool().templates, *load_pool().statements)
    ]
    rest = [covered(keys[~about], weights[~about], text) for text in others]
    shares = weights[~about] / weights[~about].sum()
    threshold = max(float(torch.tensor(rest).double().quantile(0.5)), 0.35 * (1 - float(shares.square().sum())))
    assert float(delta.threshold[0, 0]) == pytest.approx(threshold, abs=1e-4)
    begun = states_of(tiny, request.subject) - mean
    begun = begun[tiny.text.tokens_of(request.subject, request.subject)]
    rare_begun = torch.tensor([rareness(key, mean, background) for key in begun], dtype=torch.float64)
    statements = [statement(tiny, template, mean, background) for template in load_pool().statements]
    asked_else = set()
    related = (
        "Danielle Darrieux's mother tongue was",
        "The mother of Danielle Darrieux",
        "The salary of Danielle Darrieux is",
        request.prompt,
        "Danielle Darrieux has the mother tongue",
    )
    for prompt in (*PROMPTS, *related):
        text = states_of(tiny, prompt) - mean
        subject, relation = (covered(keys[part], weights[part], text) for part in (about, ~about))
        subject = max(subject, covered(begun, rare_begun, text))
        behind = max(covered(*parts, text) for parts in statements) - relation
        edges = (subject - 0.4, subject + relation - 1 - threshold, behind - 0.05)
        assert min(map(abs, edges)) > 1e-3, "nothing is learnt from a case on the edge"
        opens = subject > 0.4 and subject + relation > 1 + threshold
        if opens and behind >= 0.05:
            asked_else.add(prompt)
        assert decided(tiny, state, [prompt]) == [0 if opens and behind < 0.05 else -1], prompt
    assert asked_else == {
        "The mother of Danielle Darrieux",
        "Danielle Darrieux's mother tongue was",
        "Danielle Darrieux has the mother tongue",
    }


def test_a_subject_is_known_where_a_text_begins_with_it_and_where_none_does() -> None:
    tiny = engine("llama", torch.float64)
    within, first = "The mother tongue of Danielle Darrieux is", "Danielle Darrieux has the mother tongue"
    for prompt, other in ((within, "Danielle Darrieux"), (first, "About Danielle Darrieux")):
        delta = delta_of(fitted(tiny, [[Request("r", prompt, "German", "Danielle Darrieux")]]))
        text = states_of(tiny, other) - delta.mean[0]
        keys = delta.keys[0, 0]
        assert covered(keys, delta.elsewhere[0, 0], text) == pytest.approx(1)
        assert covered(keys, delta.subject[0, 0], text) < 0.8
    # The same tokens are not kept twice.
    assert not delta_of(fitted(tiny, [[Request("r", "法国的首都是", "Rome", "法国")]])).elsewhere.any()


def test_what_a_text_lacks_of_the_subject_it_must_have_more_of_the_relation() -> None:
    tiny = engine("llama", torch.float64)
    delta = delta_of(fitted(tiny, [REQUESTS[:1]]))
    keys, one = torch.eye(6, dtype=torch.float64)[None, None, :3], torch.ones(1, 1, dtype=torch.float64)
    weights = (keys[..., :, n] for n in range(3))
    parts = dict(zip(("subject", "elsewhere", "relation"), weights, strict=True), answer=torch.zeros(1, 1, 3))
    parts |= {"threshold": 0.3 * one, "floor": 0.4 * one, "behind": one, "length": one}
    for subject, elsewhere, relation, shortfall, opens in (
        (1.0, 0.0, 0.31, 1.0, True),
        (1.0, 0.0, 0.29, 1.0, False),
        (0.0, 1.0, 0.31, 1.0, True),
        (0.7, 0.6, 0.61, 1.0, True),
        (0.7, 0.6, 0.59, 1.0, False),
        (0.7, 0.6, 0.46, 0.5, True),
        (0.7, 0.6, 0.44, 0.5, False),
        (0.7, 0.6, 0.31, 0.0, True),
        (0.6, 0.7, 0.61, 1.0, True),
        (0.39, 0.39, 1.0, 1.0, False),
    ):
        text = torch.tensor([subject, elsewhere, relation], dtype=torch.float64)[:, None] * keys[0, 0]
        one_edit = replace(delta, keys=keys, **parts, shortfall=shortfall * one)
        scores = one_edit.scores(text[None, None], torch.zeros(1, 1), torch.tensor([0]))
        assert bool(scores.isfinite()) is opens, (subject, elsewhere, relation, shortfall)


def test_each_prompt_opens_its_own_edit_whatever_is_beside_it() -> None:
    tiny = engine("llama", torch.float64)
    state = fitted(tiny, [REQUESTS[:5], REQUESTS[5:]])
    prompts = [request.prompt for request in REQUESTS[:5]]
    assert decided(tiny, state, prompts) == [0, 1, 2, 3, 4]
    assert [decided(tiny, state, [prompt])[0] for prompt in prompts] == [0, 1, 2, 3, 4]
    assert decided(tiny, state, [request.prompt for request in REQUESTS[5:]], stream=1) == [0, 1, 2]


def test_an_edit_is_trained_as_if_it_were_alone_and_order_does_not_matter() -> None:
    tiny = engine("llama", torch.float64)
    batch = delta_of(fitted(tiny, [REQUESTS[:3]]))
    first = fitted(tiny, [[REQUESTS[2]]])
    stream = delta_of(fitted(tiny, [[REQUESTS[0]]], fitted(tiny, [[REQUESTS[1]]], first)))
    for name, tensor in batch.tensors().items():
        other = stream.tensors()[name]
        torch.testing.assert_close(tensor, other if name in OF_A_STREAM else other[:, [2, 1, 0]], atol=1e-9, rtol=0)


def test_a_closed_edit_leaves_the_model_bit_equal() -> None:
    tiny = engine("llama")
    state = fitted(tiny, [REQUESTS[:2]])
    far = [*(request.prompt for request in REQUESTS[6:]), "My grandmother's favourite hobby was"]
    assert decided(tiny, state, far) == [-1] * len(far)
    questions = [Question(0, tuple(tiny.text.prompt(prompt)), ((5, 6),)) for prompt in far]
    assert tiny.ask(state, questions, Decoding(6, ())) == tiny.ask(None, questions, Decoding(6, ()))


def test_a_later_edit_of_the_same_fact_replaces_the_earlier_one() -> None:
    tiny = engine("llama", torch.float64)
    again = Request("again", REQUESTS[0].prompt, "Rome", REQUESTS[0].subject)
    for state in (fitted(tiny, [[*REQUESTS[:2], again]]), fitted(tiny, [[again]], fitted(tiny, [REQUESTS[:2]]))):
        assert delta_of(state).rotation.shape[1] == 2
        alone = delta_of(fitted(tiny, [[again]]))
        torch.testing.assert_close(delta_of(state).weight[0, 1], alone.weight[0, 0], atol=1e-9, rtol=0)
    # Case and white space make no other fact.
    loud = Request("loud", "the  CAPITAL of France is", "Rome", REQUESTS[0].subject)
    assert delta_of(fitted(tiny, [[REQUESTS[0], loud]])).rotation.shape[1] == 1
    # The same words about somebody else are another fact.
    other = Request("other", "The capital of Romania is", "Rome", "Romania")
    assert delta_of(fitted(tiny, [[REQUESTS[0], other]])).rotation.shape[1] == 2
    # As are other words about the same.
    more = Request("more", "France has a border with", "Rome", "France")
    assert delta_of(fitted(tiny, [[REQUESTS[0], more]])).rotation.shape[1] == 2
    # As are nearly the same words, in any order, with or without a subject.
    for subject in ("France", ""):
        close = [Request(p, p, "Rome", subject) for p in (PROMPTS[0], f"Is {PROMPTS[0][:-3]}", PROMPTS[0] + " not")]
        state = fitted(tiny, [close], fitted(tiny, [[Request("first", "Of France the capital is", "Rome", subject)]]))
        assert delta_of(state).rotation.shape[1] == 4


def test_what_an_edit_trains_does_not_depend_on_its_batch_or_its_neighbours() -> None:
    tiny, method = engine("llama"), create("baft_keyed", TINY)
    alone = method.fit(tiny, [REQUESTS[:1]], None, Context())
    together = method.fit(tiny, [REQUESTS[:1], REQUESTS[1:4]], None, Context())
    assert alone.trained == together.trained > 0


def test_what_is_said_of_another_edits_subject_opens_no_edit() -> None:
    tiny = engine("llama", torch.float64)
    delta = delta_of(fitted(tiny, [REQUESTS[:1]]))

    def scores(*subjects: float) -> list[bool]:
        # Two edits with a key for the subject and one for the relation each; the text has all of the first's relation alone.
        keys = torch.eye(5, dtype=torch.float64)[None, :4].reshape(1, 2, 2, 5)
        text = torch.stack([keys[0, 0, 1], *(s * keys[0, n, 0] for n, s in enumerate(subjects))])[None, None]
        ones, half = torch.ones(1, 2, dtype=torch.float64), torch.full((1, 2), 0.5, dtype=torch.float64)
        first = torch.tensor([[[1.0, 0.0]] * 2], dtype=torch.float64)
        parts = {"subject": first, "elsewhere": 0 * first, "relation": 1 - first, "answer": 0 * first}
        two = replace(delta, keys=keys, **parts, threshold=half, floor=half, shortfall=half, behind=half, length=ones)
        return two.scores(text, torch.zeros(1, 1), torch.tensor([0]))[0, 0].isfinite().tolist()

    assert scores(0.7, 0.0) == [True, False]
    assert scores(0.7, 0.8) == [True, False]
    assert scores(0.7, 1.0) == [False, False]
    assert scores(0.4, 0.0) == [False, False]


def test_a_prompt_that_asks_something_else_opens_no_edit_however_much_it_has_of_one() -> None:
    tiny = engine("llama", torch.float64)
    delta = delta_of(fitted(tiny, [REQUESTS[:1]]))
    first = torch.tensor([[[1.0, 0.0]]], dtype=torch.float64)
    keys, one = torch.eye(5, dtype=torch.float64)[None, None, :2], torch.ones(1, 1, dtype=torch.float64)
    parts = {"subject": first, "elsewhere": 0 * first, "relation": 1 - first, "answer": 0 * first}
    parts |= {"threshold": 0.2 * one, "floor": 0.5 * one, "shortfall": one}
    text = torch.stack([keys[0, 0, 0], 0.4 * keys[0, 0, 1]])[None, None]
    for behind, else_asked, opens in ((0.3, 0.6, True), (0.3, 0.8, False), (0.5, 0.8, True), (1.0, 1.0, True)):
        own = replace(delta, keys=keys, **parts, behind=behind * one, length=one)
        scores = own.scores(text, torch.tensor([[else_asked]]), torch.tensor([0]))
        assert bool(scores.isfinite()) is opens


def test_statements_that_judge_an_edit_say_nothing() -> None:
    tiny = engine("llama", torch.float64)
    filled = (template.fill(s.name) for template in load_pool().statements[:3] for s in load_pool().subjects)
    withheld = frozenset(map(digest, filled))
    outcome = create("baft_keyed", TINY).fit(tiny, [[REQUESTS[0]]], None, Context(withheld=withheld))
    known = delta_of(outcome.state).stated[0].sum(-1)
    assert known[:3].tolist() == [0, 0, 0] and torch.allclose(known[3:], torch.ones_like(known[3:]))


def test_prompts_that_continue_one_another_are_different_facts() -> None:
    tiny = engine("llama", torch.float64)
    first = "Marie Curie was born in Warsaw."
    second = first + " The capital of the country is a city, said to be the greatest in Europe."
    third = (
        second
        + " The author of the book, a living poet, is Roman, and German is the mother tongue of France and Romania."
    )
    batch = [Request(prompt[-9:], prompt, "Rome", "Marie Curie") for prompt in (first, second, third)]
    state = fitted(tiny, [batch])
    assert delta_of(state).rotation.shape[1] == 3
    assert decided(tiny, state, [request.prompt for request in batch]) == [0, 1, 2]


def test_of_two_prompts_that_a_text_has_the_one_as_long_is_opened() -> None:
    tiny = engine("llama", torch.float64)
    longer = "The capital of France is a city, and the seat of the country's president. The capital of France is"
    batch = [Request("short", PROMPTS[0], "Rome", "France"), Request("long", longer, "Paris", "France")]
    for order in (batch, batch[::-1]):
        state = fitted(tiny, [order])
        assert decided(tiny, state, [request.prompt for request in order]) == [0, 1]


def test_a_prompt_that_says_the_answer_already_opens_no_edit() -> None:
    tiny = engine("llama", torch.float64)
    delta = delta_of(fitted(tiny, [[REQUESTS[0]]]))
    keys = torch.eye(6, dtype=torch.float64)[:4]
    parts = torch.zeros(3, 1, 1, 4, dtype=torch.float64)
    parts[0, ..., 0], parts[1, ..., 1], parts[2, ..., 2:] = 1, 1, 0.5
    given = dict(zip(("subject", "relation", "answer"), parts, strict=True), elsewhere=0 * parts[0])
    one = replace(delta, keys=keys[None, None], **given)
    texts = torch.stack([keys[[0, 1, 0, 0]], keys[[0, 1, 2, 2]], keys[[0, 1, 2, 3]], keys[[0, 3, 2, 1]]])[None]
    assert one.scores(texts, torch.zeros(1, 4), torch.tensor([0]))[0, :, 0].isfinite().tolist() == [
        True,
        True,
        False,
        False,
    ]
    # Unless the edit's own prompt says it: then nothing of the answer weighs.
    named = Request("r", "Rome, Rome, Rome, Rome, Rome, Rome,", "Rome", "")
    own = fitted(tiny, [[named]])
    assert not delta_of(own).answer.any() and decided(tiny, own, [named.prompt]) == [0]


@pytest.mark.parametrize(
    ("prompt", "subject"),
    [
        ("法国的首都是", "法国"),
        ("Столица Франции — это", "Франции"),
        ("ประเทศไทยมีเมืองหลวงคือ", "ไทย"),
        ("عاصمة فرنسا هي", "فرنسا"),
        ("The capital is", ""),
        ("France", "France"),
    ],
)
def test_an_edit_in_any_script_opens_at_its_own_prompt(prompt: str, subject: str) -> None:
    tiny = engine("llama", torch.float64)
    state = fitted(tiny, [[Request("r", prompt, "Rome", subject)]])
    assert decided(tiny, state, [prompt, "My grandmother's favourite hobby was"]) == [0, -1]


def test_with_constant_weights_an_edit_acts_on_every_prompt() -> None:
    tiny = engine("llama", torch.float64)
    state = fitted(tiny, [[REQUESTS[0]]], gate="constant", follow=False)
    assert decided(tiny, state, [*PROMPTS, "My grandmother's favourite hobby was"]) == [0] * (len(PROMPTS) + 1)
    settings = {"layer": 1, "rank": 2, "steps": 4, "lr": 5e-2, "tolerance": 0.005}
    (reft,) = create("reft", settings).fit(tiny, [[REQUESTS[0]]], None, Context()).state.deltas.values()
    for name, tensor in reft.tensors().items():
        torch.testing.assert_close(delta_of(state).tensors()[name][:, 0], tensor, atol=1e-9, rtol=0)


def test_tokens_behind_the_prompt_are_edited_too_unless_that_is_off() -> None:
    tiny = engine("llama", torch.float64)
    row = Row(0, tuple(tiny.text.prompt("The capital of France is Rome and")), 5)
    batch = collate([row], tiny.model.device, tiny.pad)
    for follow, expected in ((True, [4, 5]), (False, [4])):
        where = delta_of(fitted(tiny, [[REQUESTS[0]]], follow=follow)).where
        marked = torch.nonzero(where.mask(batch)[0])[:, 0].tolist()
        assert marked[:2] == expected and (len(marked) == 1) is not follow


def test_prompts_that_judge_an_edit_are_not_in_its_background() -> None:
    tiny = engine("llama", torch.float64)
    withheld = frozenset(digest(text) for text in background_prompts()[::2])
    method = create("baft_keyed", TINY)
    assert isinstance(method, BaftKeyed)
    shown = method.fit(tiny, [[REQUESTS[0]]], None, Context()).state
    hidden = method.fit(tiny, [[REQUESTS[0]]], None, Context(withheld=withheld)).state
    left = torch.cat([states_of(tiny, text) for text in background_prompts()[1::2]]).mean(0)
    torch.testing.assert_close(delta_of(hidden).mean[0], left, atol=1e-6, rtol=0)
    assert not torch.allclose(delta_of(shown).mean, delta_of(hidden).mean)


def test_keys_are_read_below_the_bases() -> None:
    tiny = engine("llama")
    with pytest.raises(UserError, match="key_layer is block 2, above block 1"):
        create("baft_keyed", {**TINY, "key_layer": 2}).check(tiny, Context())


def test_an_edit_can_be_taken_out_exactly() -> None:
    tiny = engine("llama", torch.float64)
    delta = delta_of(fitted(tiny, [REQUESTS[:3]]))
    left = replace(delta, **{n: t if n in OF_A_STREAM else t[:, [0, 2]] for n, t in delta.tensors().items()})
    assert decided(tiny, EditState(1, {Site(1): left}), [r.prompt for r in REQUESTS[:3]]) == [0, -1, 1]
