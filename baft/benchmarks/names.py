"""Names of the fields that benchmark files have, the public ones and a user's own, and what each of them holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from baft.benchmarks.records import Kind


@dataclass(frozen=True, slots=True)
class Probes:
    """What a field with prompts of probes holds.

    The answers stand in one of the fields ``answers``, or in one named after the field (``NAME_answer``); else they are
    the edit's target, its true answer or its subject, as ``default`` says. ``contrast`` holds the edit's target against
    them: prompts about neighbouring subjects, which should keep the true answer.
    """

    kind: Kind
    group: str = ""
    answers: tuple[str, ...] = ()
    default: Literal["", "target", "truth", "subject"] = ""
    contrast: bool = False


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_REPHRASINGS = _names(
    "rephrase rephrases rephrased rephrasing rephrasings rephrase_prompt rephrase_prompts "
    "rephrased_prompt rephrased_prompts rephrase_question rephrased_question rephrased_questions "
    "paraphrase paraphrases paraphrased paraphrasing paraphrasings paraphrase_prompt paraphrase_prompts "
    "paraphrased_prompt paraphrased_prompts paraphrase_question paraphrase_questions paraphrased_question "
    "paraphrased_questions para_question para_questions para_prompt question_paraphrase "
    "question_paraphrases generality generality_prompt generality_prompts generalization generalisation "
    "generalization_prompt generalization_prompts "
)
_NEIGHBOURS = _names(
    "neighborhood neighbourhood neighborhood_prompt neighborhood_prompts neighbourhood_prompt neighbourhood_prompts "
    "neighbor neighbor_prompts"
)
_DISTRACTING = _names(
    "distracting_neighborhood distracting_neighborhood_prompts distracting_neighbor distracting_neighbor_prompts"
)
_LOCAL = _names("locality locality_question locality_questions locality_inputs locality_data specificity")
_PORTABLE = _names("portability portability_question portability_questions portability_inputs portability_data")

PROBES: Mapping[str, Probes] = {
    **{name: Probes("generality", default="target") for name in _REPHRASINGS},
    "personas": Probes("generality", "Personas", default="target"),
    **{name: Probes("portability") for name in _PORTABLE},
    **{name: Probes("portability", "Reasoning") for name in ("portability_prompt", "portability_prompts")},
    **{
        name: Probes("portability", "Multi_Hop")
        for name in ("mhop", "multi_hop", "one_hop", "two_hop", "one_hop_question")
    },
    **{
        f"question{s}_{n}hop": Probes("portability", "Multi_Hop", (f"answer{s}_{n}hop", f"answer_{n}hop"))
        for s in ("", "s")
        for n in range(1, 7)
    },
    "questions": Probes("portability", "Multi_Hop", ("new_answer", "new_answer_alias")),
    "sub_question": Probes("portability", "Sub_Questions", ("sub_answer",)),
    "inverse": Probes("portability", "Inverse_Relation", default="subject"),
    "inverse_question": Probes("portability", "Inverse_Relation", default="subject"),
    "alter_subject_question": Probes("portability", "Subject_Aliasing", default="target"),
    **{name: Probes("locality") for name in _LOCAL},
    **{name: Probes("locality", "Neighborhood", contrast=True) for name in ("locality_prompt", "locality_prompts")},
    "loc": Probes("locality", "Unrelated"),
    **{
        name: Probes("locality", "Neighborhood", ("neighborhood_answers",), default="truth", contrast=True)
        for name in _NEIGHBOURS
    },
    **{name: Probes("locality", "Distracting_Neighborhood", default="truth", contrast=True) for name in _DISTRACTING},
    "unrelated_relation": Probes("locality", "Other_Attribution"),
    **{name: Probes("fluency") for name in ("generation_prompt", "generation_prompts")},
}
"""Fields whose prompts become probes; each may be numbered, as ``rephrase_2``."""

SUBJECT_ALIASES = ("subject_alias", "subject_aliases", "alternative_subject", "alternative_subjects", "alt_subject")
"""Other names of the subject: each makes a portability probe, the edit's prompt with that name."""

TRUTHS = ("truth", "ground_truth", "target_true", "target_old", "true_answer", "old_answer", "answer_old")
"""Fields with the answer before the edit."""

EDIT = _names(
    "prompt target subject target_new src alt question answer answers update ans object text labels concept ent pos neg "
    "requested_rewrite case_id id aliases irrelevant cond loc_ans new_answer new_answer_alias"
)

PROMPTS = ("prompt", "prompts", "question", "questions", "loc", "New Question", "query", "input")
"""Within a probe that is an object, its prompt."""

ANSWERS = (
    "ground_truth",
    "answer",
    "answers",
    "loc_ans",
    "New Answer",
    "target",
    "target_new",
    "ans",
    "object",
    "label",
)
"""Within a probe that is an object, its answers."""

NAMES = frozenset({*PROBES, *SUBJECT_ALIASES, *TRUTHS, *EDIT})
"""All names at the top of a record that some format reads."""

IGNORED: Mapping[str, str] = {
    "attribute_prompts": "ROME's scores do not use them",
    "cond": "it repeats the edit",
    "pred": "it is another model's answer",
    "Recalled Relation": "it names the fact that the question needs",
    "coupled_prompts_and_properties": "long texts are not judged",
}
"""Fields of public files that are left out on purpose, and why."""

_HINTS = {
    "rephras": "rephrase", "paraphras": "rephrase", "generaliz": "rephrase", "reword": "rephrase", "localit": "locality",
    "neighb": "locality", "specific": "locality", "unrelated": "locality", "portab": "portability", "hop": "portability",
    "reason": "portability", "alias": "aliases", "subj": "subject", "entity": "subject", "truth": "truth", "old": "truth",
    "original": "truth", "new": "target", "answer": "target", "quest": "prompt",
}  # fmt: skip
_SUGGESTED = ("prompt", "target", "subject", "rephrase", "locality", "portability", "aliases", "truth", "irrelevant")


def probe_field(key: str) -> tuple[str, str] | None:
    """The known name of a field of probes and its number ("_2" or ""); None if ``key`` is no such field."""
    if key in PROBES:
        return key, ""
    numbered = re.fullmatch(r"(.+?)(_?\d+)", key)
    return (numbered[1], numbered[2]) if numbered and numbered[1] in PROBES else None


def answer_fields(name: str, number: str) -> Iterator[str]:
    """Where the answers to the prompts of the field ``name`` with this ``number`` may stand, named after it."""
    stems = [name]
    for ending in ("_prompts", "_prompt", "_questions", "_question", "_inputs", "_data"):
        if name.endswith(ending):
            stems.append(name.removesuffix(ending))
    for stem in stems:
        for word in ("answer", "answers", "ans", "ground_truth", "target"):
            yield f"{stem}_{word}{number}"
            if number:
                yield f"{stem}{number}_{word}"


_ANSWER_FIELDS = frozenset({field for name in PROBES for field in (*PROBES[name].answers, *answer_fields(name, ""))})
_NUMBERED = frozenset({*PROBES, *_ANSWER_FIELDS, "aliases", "irrelevant"})


def is_field(name: str) -> bool:
    """Whether some format reads a field of this name at the top of a record, numbered ones and answers among them."""
    if name in NAMES or name in _ANSWER_FIELDS:
        return True
    numbered = re.fullmatch(r"(.+?)_?\d+(_[a-z_]+)?", name)
    return numbered is not None and numbered[1] + (numbered[2] or "") in _NUMBERED


def canonical(key: str) -> str:
    """``key`` as names are written here: "Target New" is ``target_new``."""
    return re.sub(r"[\s\-]+", "_", key.strip().lower())


def suggestion(key: str) -> str:
    """The name that was probably meant by ``key``, or nothing."""
    plain = canonical(key)
    if close := get_close_matches(plain, _SUGGESTED, 1, 0.75):
        return close[0]
    return next((name for part, name in _HINTS.items() if part in plain), "")
