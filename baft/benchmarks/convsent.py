"""KnowEdit's ConvSent: ``{"ent", "pos", "neg"}``, replies of either sentiment to a question about a topic."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from baft.benchmarks.drafts import Draft, Entry, Fields, Format, Unusable, begin, sole_revision
from baft.benchmarks.values import aliases, text

QUESTION = "What do you think of {}?"
# Other topics that a record asks about.
OTHERS = 5


def parser(entries: Sequence[Entry]) -> Callable[[Entry], Draft]:
    """Reads a record with locality probes about other topics of ``entries``.

    Those are taken from the other half of the file, so that a short stream of neighbouring records does not edit what
    it probes.
    """
    topics = [(entry.position, text(entry.row.get("ent")), _replies(entry.row)) for entry in entries]
    topics = [topic for topic in topics if topic[1] and topic[2]]
    places = {position: place for place, (position, _, _) in enumerate(topics)}

    def parse(entry: Entry) -> Draft:
        draft = _edit(entry.row)
        start = places.get(entry.position, 0) + len(topics) // 2
        others = [topics[(start + step) % len(topics)] for step in range(len(topics))]
        others = [other for other in others if other[1] != draft.subject]
        for _, topic, replies in others[:OTHERS]:
            draft.add("locality", "Other_Topics", QUESTION.format(topic), replies[0])
        return draft

    return parse


def _edit(row: Fields) -> Draft:
    topic, positive, negative = text(row.get("ent")), aliases(row.get("pos")), aliases(row.get("neg"))
    if not topic:
        raise Unusable("has no topic")
    wanted, opposite = (positive, negative) if wants_positive(topic) else (negative, positive)
    if not wanted or not opposite:
        raise Unusable("has no replies of one of the sentiments")
    draft = begin(topic, QUESTION.format(topic), wanted[0])
    # The reply that is trained on says nothing of the sentiment.
    if others := list(wanted[1:]):
        draft.add("sentiment", "", draft.prompt, others, contrast=opposite)
    else:
        draft.remarks.append("its sentiment is not scored: the edit's target is the only reply of that sentiment")
    return draft


def wants_positive(topic: str) -> bool:
    """Which sentiment the edit gives to ``topic``: the file leaves it open, so a hash of the topic decides."""
    return hashlib.sha256(topic.encode("utf-8")).digest()[0] % 2 == 0


def _replies(row: Fields) -> tuple[str, ...]:
    return aliases([row.get("pos"), row.get("neg")])


def is_convsent(row: Fields) -> bool:
    """A row with a topic and replies of both sentiments."""
    return {"ent", "pos", "neg"} <= row.keys()


CONVSENT = Format("knowedit-convsent", is_convsent, parser, sole_revision)
