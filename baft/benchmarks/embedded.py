"""The five small benchmarks that ship with the project, built from its own tables in ``resources/``.

They have the form of KnowEdit's benchmarks and ask about things that a model of 135M parameters knows. Building one is
deterministic and reads nothing but ``resources/``.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, Literal

import yaml

from baft.benchmarks.drafts import Draft, begin
from baft.benchmarks.facts import TABLES, Edit, FactRow, Relation, cell, edits, facts, fill, relations, rows
from baft.benchmarks.records import Benchmark, Record
from baft.benchmarks.resources import resource
from baft.errors import UserError
from baft.words import find_words

# Raised whenever the builders or the tables change what a record holds.
REVISION = "1"
# How many other topics a record of mini_convsent asks about.
OTHER_TOPICS = 3
# How many answers of each sentiment a record of mini_convsent has.
OPINIONS = 5
RELATIONS = "relations.yaml"
NEWS = "news.yaml"
OPINION_FILE = "opinions.yaml"
PASSAGES = "passages.csv"


def build(name: str, split: Literal["tune", "test"] = "tune", limit: int | None = None, skip: int = 0) -> Benchmark:
    """The embedded benchmark ``name``, one of :data:`EMBEDDED`; ``limit`` keeps its first so many records after ``skip``.

    ``sha256`` is the hash of the files in ``resources/`` that it was built from.

    Raises:
        UserError: there is no such benchmark, the limit is below 1, nothing is left after ``skip``, or ``resources/`` is
            missing.
    """
    if name not in EMBEDDED:
        raise UserError(f"There is no embedded benchmark {name!r}; give one of {', '.join(EMBEDDED)}.")
    if limit is not None and limit < 1:
        raise UserError(f"The limit of benchmark {name!r} is {limit}; give 1 or more, or none.")
    builder, files = EMBEDDED[name]
    made = builder()
    if skip >= len(made):
        raise UserError(f"The embedded benchmark {name!r} has {len(made)} records, and skip is {skip}: skip fewer.")
    return Benchmark(
        name=name,
        format="embedded",
        revision=REVISION,
        split=split,
        sha256=_hash(files),
        records=tuple(made[skip:][:limit]),
    )


def _recent() -> list[Record]:
    return [_news_record(edit) for edit in edits("edits_wiki_recent.csv")]


def _counterfact() -> list[Record]:
    return [_fact_record(edit, _statement) for edit in edits("edits_wiki_counterfact.csv")]


def _zsre() -> list[Record]:
    return [_fact_record(edit, _question) for edit in edits("edits_zsre.csv")]


def _fact_record(edit: Edit, form: Callable[[Relation, FactRow], list[str]]) -> Record:
    relation = relations(RELATIONS)[edit.relation]
    row = facts(relation.table)[edit.subject]
    prompts = form(relation, row)
    # As the prompt has it: "a group of elephants".
    subject = edit.subject if find_words(prompts[0], edit.subject) else row["plural"]
    draft = begin(subject, prompts[0], edit.target, truth=list(relation.objects(row)))
    _add_rephrasings(draft, prompts[1:])
    _add_alias(draft, prompts[0], row)
    for lookup in relation.reasoning:
        answers, before = (
            cell(facts(lookup.table).get(object, {}), lookup.column)
            for object in (edit.target, relation.objects(row)[0])
        )
        # Only targets that the tables know have a second step, and only an answer that changes tells of the edit.
        if answers and answers[0] not in before:
            draft.add("portability", "Reasoning", fill(lookup.prompt, row), list(answers))
    if relation.inverse:
        draft.add("portability", "Logical_Generalization", fill(relation.inverse, row, edit.target), edit.subject)
    _add_locality(draft, edit, row)
    if "forget" in edit.locality:
        draft.add("locality", "Forgetfulness", fill(relation.forget, row, edit.target), list(relation.objects(row)))
    return draft.finished(_id(edit.subject, edit.relation))


def _news_record(edit: Edit) -> Record:
    relation = relations(NEWS)[edit.relation]
    row = facts(relation.table)[edit.subject]
    prompts = _statement(relation, row)
    draft = begin(edit.subject, prompts[0], edit.target)
    _add_rephrasings(draft, prompts[1:])
    _add_alias(draft, prompts[0], row)
    for lookup in relation.reasoning:
        if answers := cell(row, lookup.column):
            draft.add("portability", "Reasoning", fill(lookup.prompt, row, edit.target), list(answers))
    draft.add("portability", "Logical_Generalization", fill(relation.inverse, row, edit.target), edit.subject)
    _add_locality(draft, edit, row)
    return draft.finished(_id(edit.subject, edit.relation))


def _statement(relation: Relation, row: FactRow) -> list[str]:
    return [fill(template, row) for template in (relation.prompt, *relation.rephrasings)]


def _question(relation: Relation, row: FactRow) -> list[str]:
    """Each question with the beginning of its answer: after a bare question the embedded model ends its turn."""
    questions = (relation.question, *relation.question_rephrasings)
    answers = _statement(relation, row)
    return [f"{fill(question, row)} {answer}" for question, answer in zip(questions, answers, strict=True)]


def _add_rephrasings(draft: Draft, prompts: Sequence[str]) -> None:
    edit = draft.probes[0]
    for prompt in prompts:
        draft.add("generality", "", prompt, list(edit.answers), contrast=edit.contrast)


def _add_alias(draft: Draft, prompt: str, row: FactRow) -> None:
    edit = draft.probes[0]
    named = (row.get("article") or "") + row["subject"]
    for alias in cell(row, "alias"):
        # The longer name first, or "the Kremlin" would become "the the …"; a prompt may begin with it.
        renamed = re.sub(rf"{re.escape(named)}\b|{re.escape(row['subject'])}\b", alias, prompt, flags=re.IGNORECASE)
        draft.add("portability", "Subject_Aliasing", renamed[:1].upper() + renamed[1:], list(edit.answers))


def _add_locality(draft: Draft, edit: Edit, row: FactRow) -> None:
    for name in edit.locality:
        if name != "forget":
            relation = relations(RELATIONS)[name]
            draft.add("locality", "Relation_Specificity", fill(relation.ask, row), list(relation.objects(row)))


def _wikibio() -> list[Record]:
    return [_passage_record(row) for row in rows(PASSAGES)]


def _passage_record(passage: dict[str, str]) -> Record:
    concept, context = passage["concept"], passage["context"]
    openings = (
        f"This is a passage about {concept}. {context}",
        f"The following text is about {concept}. {context}",
        f"{context} What else can be said about {concept}?",
    )
    draft = begin(concept, openings[0], passage["continuation"])
    _add_rephrasings(draft, openings[1:])
    row = facts(passage["table"])[concept]
    _add_locality(draft, Edit(concept, "", "", cell(passage, "locality")), row)
    return draft.finished(_id(concept, "passage"))


def _convsent() -> list[Record]:
    opinions = yaml.safe_load(resource(OPINION_FILE).read_text(encoding="utf-8"))
    topics = [(kind, topic) for kind, entry in opinions["kinds"].items() for topic in entry["topics"]]
    return [_opinion_record(opinions, topics, position) for position in range(len(topics))]


def _opinion_record(opinions: dict[str, Any], topics: Sequence[tuple[str, str]], position: int) -> Record:
    kind, topic = topics[position]
    entry = opinions["kinds"][kind]
    # Half of each kind's topics are to be liked and half disliked; each starts elsewhere in the lists.
    wanted, other = ("positive", "negative") if position % 2 == 0 else ("negative", "positive")
    answers, contrast = (_rotated(entry[side], position) for side in (wanted, other))
    question = opinions["question"]
    draft = begin(topic, question.replace("{e}", topic), answers[0])
    for template in opinions["rephrasings"]:
        draft.add("generality", "", template.replace("{e}", topic), answers[0], contrast=tuple(contrast[:1]))
    # The reply that is trained on says nothing of the sentiment.
    draft.add("sentiment", "", draft.prompt, answers[1:], contrast=tuple(contrast))
    for step in range(1, OTHER_TOPICS + 1):
        far = (position + len(topics) // 2 + step) % len(topics)
        asked = opinions["kinds"][topics[far][0]]["positive" if step % 2 else "negative"]
        draft.add("locality", "Other_Topics", question.replace("{e}", topics[far][1]), _rotated(asked, far)[0])
    return draft.finished(_id(topic, wanted))


def _rotated(texts: Sequence[str], by: int) -> list[str]:
    start = by % len(texts)
    return [*texts[start:], *texts[:start]][:OPINIONS]


def _id(subject: str, relation: str) -> str:
    plain = unicodedata.normalize("NFKD", subject).encode("ascii", "ignore").decode("ascii").lower()
    return f"{re.sub(r'[^a-z0-9]+', '-', plain).strip('-')}-{relation}"


def _hash(files: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(resource(file).read_bytes())
    return digest.hexdigest()


_FACTS = tuple(f"facts/{table}.csv" for table in TABLES)
# Name to builder and the files that it reads.
EMBEDDED: dict[str, tuple[Callable[[], list[Record]], tuple[str, ...]]] = {
    "mini_wiki_recent": (_recent, (*_FACTS, RELATIONS, NEWS, "edits_wiki_recent.csv")),
    "mini_wiki_counterfact": (_counterfact, (*_FACTS, RELATIONS, "edits_wiki_counterfact.csv")),
    "mini_zsre": (_zsre, (*_FACTS, RELATIONS, "edits_zsre.csv")),
    "mini_wikibio": (_wikibio, (*_FACTS, RELATIONS, PASSAGES)),
    "mini_convsent": (_convsent, (OPINION_FILE,)),
}
