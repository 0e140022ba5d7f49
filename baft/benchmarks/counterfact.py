"""CounterFact in the form of ROME and in the flat form of later toolkits."""

from __future__ import annotations

from typing import Any

from baft.benchmarks.drafts import (
    Draft,
    Format,
    Row,
    Unusable,
    begin,
    every_row,
    mend_portability,
    rephrase,
    sole_revision,
)
from baft.benchmarks.values import aliases, text, unique

# Group of the prompts about other subjects of which the true answer holds.
NEIGHBORHOOD = "Neighborhood"


def parse_rome(row: Row) -> Draft:
    """One record of ROME's form, ``{"requested_rewrite", "paraphrase_prompts", "neighborhood_prompts", …}``.

    Probes of the neighbourhood have the true answer, contrasted with the new one; ``generation_prompts`` become
    ``fluency`` probes, each once. ``attribute_prompts`` are left out: ROME's scores do not use them.
    """
    rewrite = row.get("requested_rewrite")
    if not isinstance(rewrite, dict):
        raise Unusable("its requested_rewrite is not an object")
    subject, template = text(rewrite.get("subject")), text(rewrite.get("prompt"))
    prompt = template.replace("{}", subject, 1)
    draft = begin(subject, prompt, _answer(rewrite.get("target_new")), truth=_answer(rewrite.get("target_true")))
    rephrase(draft, row.get("paraphrase_prompts"))
    mend_portability(draft, row.get("portability"))
    _add_neighborhood(draft, row.get("neighborhood_prompts"), draft.truth)
    for opening in aliases(row.get("generation_prompts")):
        draft.add("fluency", "", opening, ())
    return draft


def parse_flat(row: Row) -> Draft:
    """One record of the flat form, ``{"prompt", "target_new", "rephrase_prompt", "locality_prompt", …}``."""
    draft = begin(row.get("subject"), row.get("prompt"), row.get("target_new"), truth=row.get("ground_truth"))
    rephrase(draft, row.get("rephrase_prompt"))
    mend_portability(draft, row.get("portability"))
    if "portability_prompt" in row:
        draft.add("portability", "Reasoning", row.get("portability_prompt"), row.get("portability_ground_truth"))
    _add_neighborhood(draft, row.get("locality_prompt"), aliases(row.get("locality_ground_truth")))
    return draft


def is_rome(row: Row) -> bool:
    """ROME's form."""
    return "requested_rewrite" in row


def is_flat(row: Row) -> bool:
    """The flat form."""
    return {"prompt", "target_new", "locality_prompt"} <= row.keys()


def _answer(value: Any) -> Any:
    return value.get("str") if isinstance(value, dict) else value


def _add_neighborhood(draft: Draft, prompts: Any, answers: tuple[str, ...]) -> None:
    # A prompt that the file has twice counts twice, as in ROME's scores.
    listed = prompts if isinstance(prompts, list) else [] if prompts is None else [prompts]
    for prompt in listed:
        draft.add("locality", NEIGHBORHOOD, prompt, list(answers), contrast=unique([draft.target]))


ROME = Format("counterfact-rome", is_rome, every_row(parse_rome), sole_revision)
FLAT = Format("counterfact-flat", is_flat, every_row(parse_flat), sole_revision)
