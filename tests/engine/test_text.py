from __future__ import annotations

import copy
from functools import cache

import pytest
import transformers as hf
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from baft.engine.joint import joint
from baft.engine.text import Text
from baft.errors import UserError
from tests.engine.tiny import tokenizer
from tests.evaluation import styles

CORPUS = (
    "The capital of France is Paris. The capital of Italy is Rome's, 50% of it.",
    "法国的首都是巴黎。日本の首都は東京です。เมืองหลวงของฝรั่งเศสคือปารีส 프랑스의 수도는 파리 Java, unlike JavaScript. FRANCE",
)
# Merged across the joint by a tokenizer that has seen the whole sentence often.
MERGED = ("法国的首都是巴黎",) * 9

PAIRS = [
    ("The capital of France is", "Paris"),
    ("The capital of France is ", "Paris"),
    ("The capital of France is  ", "Paris"),
    ("法国的首都是", "巴黎"),
    ("法国的首都是", "Paris"),
    ("The capital of France, 法国, is", "巴黎"),
    ("日本の首都は", "東京"),
    ("เมืองหลวงของฝรั่งเศสคือ", "ปารีส"),
    ("프랑스의 수도는", "파리"),
    ("The capital of Italy is Rome", "'s"),
    ("The capital is 50", "%"),
    ("The capital of l'", "Italy"),
    ("Paris", ", the capital"),
]


def qwen(texts: tuple[str, ...]) -> hf.PreTrainedTokenizerFast:
    """Bytes, split as Qwen does: no space within a word, digits one by one, text composed (NFC) first."""
    raw = Tokenizer(models.BPE())
    raw.normalizer = normalizers.NFC()
    words = Regex(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    bytewise = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(words, "isolated"), bytewise])
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=700, special_tokens=["<end>"], initial_alphabet=alphabet)
    )
    return hf.PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>", pad_token="<end>")


STYLES = (*styles.STYLES, "qwen")


@cache
def styled(style: str, texts: tuple[str, ...] = CORPUS) -> Text:
    """Text of a tokenizer in a style."""
    made = qwen(texts) if style == "qwen" else styles.tokenizer(style, [*texts, *(c for t in texts for c in t)])
    return Text(made)


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("The capital of France is", "Paris"),
        ("The capital of France is ", "Paris"),
        ("Question: who?\n", "Marie Curie"),
        ("法国的首都是", "巴黎"),
        ("I feel", "👩‍🔬 fine"),
        ("The author is", " a Roman poet"),
    ],
)
def test_prompt_and_answer_read_as_the_text(prompt: str, answer: str) -> None:
    text = Text(tokenizer())
    tokens = text.answer(prompt, answer)
    assert text.decode(tokens).strip() == answer.strip()
    whole = text.decode(text.prompt(prompt) + tokens)
    assert whole.startswith(prompt)
    assert whole.endswith(answer.strip())


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("texts", [CORPUS, CORPUS + MERGED], ids=["plain", "merged"])
@pytest.mark.parametrize(("prompt", "answer"), PAIRS)
def test_an_answer_is_the_tokens_that_the_text_has_there(
    style: str, texts: tuple[str, ...], prompt: str, answer: str
) -> None:
    text = styled(style, texts)
    head, tokens = text.prompt(prompt), text.answer(prompt, answer)
    whole = prompt + joint(prompt, answer) + answer
    # A tokenizer that writes a space before the first word decodes it, too.
    assert text.decode(head + tokens).removeprefix(" ") == whole
    written = text.prompt(whole)
    if written[: len(head)] == head:
        assert head + tokens == written
    else:
        # Other tokens than the text's, but no more of them than its letters.
        assert len(tokens) <= len(answer.encode())
    if joint(prompt, answer):
        assert written[: len(head)] == head


@pytest.mark.parametrize("style", STYLES)
def test_no_space_is_trained_or_scored_in_scripts_without_spaces(style: str) -> None:
    text = styled(style)
    for prompt, answer in (("法国的首都是", "巴黎"), ("日本の首都は", "東京"), ("เมืองหลวงคือ", "ปารีส")):
        assert text.decode(text.answer(prompt, answer)) == answer
        assert not any(" " in text.decode([token]) for token in text.answer(prompt, answer))


@pytest.mark.parametrize("style", STYLES)
def test_a_merge_across_the_joint_costs_no_letter(style: str) -> None:
    text = styled(style, CORPUS + MERGED)
    head, whole = text.prompt("法国的首都是"), text.prompt("法国的首都是巴黎")
    assert whole[: len(head)] != head
    assert text.decode(text.answer("法国的首都是", "巴黎")) == "巴黎"


def test_an_empty_answer_is_told() -> None:
    with pytest.raises(UserError, match="empty answer"):
        Text(tokenizer()).answer("The capital is", "  ")


@pytest.mark.parametrize(
    ("prompt", "part"),
    [
        ("The capital of France is", "France"),
        ("France, so France's capital is", "France"),
        ("The capital is France", "France"),
        ("法国的首都是", "法国"),
        ("What 👩‍🔬 said", "👩‍🔬"),
    ],
)
def test_the_last_token_of_a_part_ends_it(prompt: str, part: str) -> None:
    text = Text(tokenizer())
    at = text.last_token_of(prompt, part)
    assert at is not None
    ids = text.prompt(prompt)
    upto = prompt.rindex(part) + len(part)
    # No earlier token completes the part.
    assert len(text.decode(ids[: at + 1])) >= upto
    assert text.decode(ids[:at]) != prompt[:upto]
    assert not text.decode(ids[:at]).startswith(prompt[:upto])


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("prompt", "part", "before"),
    [
        ("Java, unlike JavaScript, is", "Java", ""),
        ("The capital of France's is", "France", "JavaScript is France. "),
        ("法国的首都是", "法国", "法国。"),
        ("日本の首都は", "首都", ""),
        ("프랑스의 수도는", "프랑스", ""),
        ("The capital of FRANCE is", "France", "France. "),
    ],
)
def test_the_subject_ends_in_its_token(style: str, prompt: str, part: str, before: str) -> None:
    text = styled(style, CORPUS + MERGED)
    at = text.last_token_of(prompt, part, before)
    assert at is not None
    ids, end = text.prompt(before + prompt), len(before) + prompt.casefold().index(part.casefold()) + len(part)
    so_far = [text.decode(ids[:n]).removeprefix(" ") for n in (at, at + 1)]
    upto = (before + prompt)[:end]
    assert not so_far[0].startswith(upto)
    assert so_far[1].startswith(upto)


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_2 = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] | trim + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] | trim + ' ' }}{% endif %}{% endfor %}"
)
MARKED = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def chatting(template: str) -> Text:
    made = qwen(CORPUS)
    made.chat_template = template
    return Text(made, "chat")


@pytest.mark.parametrize(("template", "between"), [(CHATML, ""), (LLAMA_2, " "), (MARKED, "")])
@pytest.mark.parametrize(
    ("prompt", "answer"), [("The capital of France is", "Paris"), ("法国的首都是", "巴黎"), ("Who?", ", no")]
)
def test_in_a_chat_the_template_says_what_comes_before_a_reply(
    template: str, between: str, prompt: str, answer: str
) -> None:
    text = chatting(template)
    reply = text.tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}], tokenize=False
    )
    tokens = text.answer(prompt, answer)
    assert text.decode(tokens) == between + answer
    assert reply.startswith(text.decode(text.prompt(prompt) + tokens))


@pytest.mark.parametrize("template", [CHATML, LLAMA_2, MARKED])
@pytest.mark.parametrize(
    ("prompt", "subject"),
    [("The user of it is", "user"), (" The assistant is ", "assistant"), ("INST is", "INST"), ("user", "user")],
)
def test_a_subject_that_is_a_word_of_the_template_is_found_in_the_prompt(
    template: str, prompt: str, subject: str
) -> None:
    text = chatting(template)
    at = text.last_token_of(prompt, subject)
    assert at is not None
    ids = text.prompt(prompt)
    opening = text.decode(ids).rindex(prompt.strip())
    end = opening + prompt.strip().index(subject) + len(subject)
    assert len(text.decode(ids[:at])) < end <= len(text.decode(ids[: at + 1]))
    for absent in ("im_start", "system", "nonesuch"):
        assert text.last_token_of(prompt, absent) is None


def test_a_part_that_is_not_there_has_no_token() -> None:
    assert Text(tokenizer()).last_token_of("The capital is", "France") is None
    assert Text(tokenizer()).last_token_of("The capital is", "") is None


def test_the_token_of_the_beginning_comes_once_and_first() -> None:
    text = Text(tokenizer(bos=True), bos=True)
    begin = text.tokenizer.bos_token_id
    assert text.prompt("Paris is").count(begin) == 1
    assert text.prompt("Paris is")[0] == begin
    assert begin not in text.answer("Paris is", "Rome")
    assert text.last_token_of("Paris is", "Paris") == len(text.prompt("Paris")) - 1


@pytest.mark.parametrize("opening", ["", "<bos>"])
def test_a_chat_begins_with_the_token_of_the_beginning_too(opening: str) -> None:
    own = copy.deepcopy(tokenizer(bos=True))
    own.chat_template = opening + "{% for message in messages %}{{ message['content'] }}.{% endfor %}"
    text, without = Text(own, "chat", bos=True), Text(own, "chat")
    begin, more = own.bos_token_id, int(not opening)
    ids = text.prompt("Paris is")
    assert ids.count(begin) == 1 and ids[0] == begin
    assert ids[more:] == without.prompt("Paris is")
    assert text.answer("Paris is", "Rome") == without.answer("Paris is", "Rome")
    assert begin not in text.answer("Paris is", "Rome")
    assert text.last_token_of("Paris is", "Paris") == without.last_token_of("Paris is", "Paris") + more
    assert text.tokens_of("Paris is", "Paris") == [at + more for at in without.tokens_of("Paris is", "Paris")]


def test_formats_that_the_tokenizer_lacks_are_told() -> None:
    with pytest.raises(UserError, match="chat template"):
        Text(tokenizer(), "chat")
    with pytest.raises(UserError, match="beginning-of-text"):
        Text(tokenizer(), bos=True)


DATED = (
    "{{ strftime_now('%d %b %Y') if date_string is not defined else date_string }} {{ strftime_now('%Y-%m-%d %H:%M') }} "
    "{% for message in messages %}{{ message['content'] }}{% endfor %}"
)


def dated(template: str, **more: str) -> Text:
    own = copy.deepcopy(tokenizer())
    own.chat_template = template
    return Text(own, "chat", **more)  # type: ignore[arg-type]


def test_a_template_that_asks_for_the_date_gets_the_one_that_is_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    said = dated(DATED, template_date="2019-03-05").prompt("Paris is")
    assert tokenizer().decode(said) == "05 Mar 2019 2019-03-05 00:00 Paris is"
    today = dated(DATED).prompt("Paris is")
    assert tokenizer().decode(today) == "26 Jul 2024 2024-07-26 00:00 Paris is"


def test_an_answer_in_a_template_has_the_same_date() -> None:
    own = dated(DATED, template_date="2019-03-05")
    assert tokenizer().decode(own.answer("Paris is", "a poet")).strip() == "a poet"


def test_a_template_that_fails_is_told() -> None:
    for template in ("{{ raise_exception('no system') }}", "{{ messages[7].content }}", "{% if %}"):
        with pytest.raises(UserError, match="chat template cannot be used"):
            dated(template).prompt("Paris is")


def test_tokens_are_kept_and_forgotten_and_are_nobodys_but_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("baft.engine.text._KEPT", 2)
    text = Text(tokenizer())
    first = text.prompt("Paris is")
    first.append(7)
    assert text.prompt("Paris is") == first[:-1]
    asked = []
    own = text.tokenizer

    class Counting:
        def __call__(self, one: str, **how: object) -> object:
            asked.append(one)
            return own(one, **how)

        def __getattr__(self, name: str) -> object:
            return getattr(own, name)

    text.tokenizer = Counting()  # type: ignore[assignment]
    for one in ("Paris is", "Rome is", "Rome is", "Paris is", "Oslo is", "Paris is"):
        assert text.prompt(one) == list(own(one).input_ids)
    assert asked == ["Rome is", "Oslo is", "Paris is"]
