"""CounterFact in the form of ROME and in the flat form of later toolkits."""

from __future__ import annotations

from typing import Any

from baft.benchmarks.drafts import Draft, Fields, Format, Unusable, begin, every_row, sole_revision, sole_text
from baft.benchmarks.probes import add_probes, draft_of, truth_of
from baft.benchmarks.values import text


def parse_rome(row: Fields) -> Draft:
    """One record of ROME's form, ``{"requested_rewrite", "paraphrase_prompts", "neighborhood_prompts", …}``.

    Probes of the neighbourhood have the true answer, contrasted with the new one; ``generation_prompts`` become
    ``fluency`` probes, each once. ``attribute_prompts`` are left out: ROME's scores do not use them. MQuAKE has this
    form too, with a list of rewrites: a record of one is read, its ``questions`` as portability.
    """
    rewrite = row.get("requested_rewrite")
    if isinstance(rewrite, list) and len(rewrite) > 1:
        raise Unusable(f"asks for {len(rewrite)} edits at once; give each a record of its own")
    if isinstance(rewrite, list) and rewrite:
        (rewrite,) = rewrite
    if not isinstance(rewrite, dict):
        raise Unusable("its requested_rewrite is not an object")
    subject = rewrite.get("subject")
    prompt = text(rewrite.get("prompt")).replace("{}", sole_text(subject), 1)
    draft = begin(subject, prompt, _answer(rewrite.get("target_new")), truth=truth_of(rewrite, ["target_true"]))
    if "question" in rewrite:
        add_probes(draft, {"rephrase": rewrite.get("question")})
    add_probes(draft, row)
    return draft


def parse_flat(row: Fields) -> Draft:
    """One record of the flat form, ``{"prompt", "target_new", "rephrase_prompt", "locality_prompt", …}``."""
    return draft_of(row, "prompt", "target_new")


def is_rome(row: Fields) -> bool:
    """ROME's form."""
    return "requested_rewrite" in row


def is_flat(row: Fields) -> bool:
    """The flat form."""
    return {"prompt", "target_new", "locality_prompt"} <= row.keys()


def _answer(value: Any) -> Any:
    return value.get("str") if isinstance(value, dict) else value


ROME = Format("counterfact-rome", is_rome, every_row(parse_rome), sole_revision)
FLAT = Format("counterfact-flat", is_flat, every_row(parse_flat), sole_revision)
