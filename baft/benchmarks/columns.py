"""The columns of a user's own file of facts, in one table: what the documentation shows and the reader reads."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from baft.benchmarks.names import PROBES, SUBJECT_ALIASES, TRUTHS, Probes


@dataclass(frozen=True, slots=True)
class Column:
    """A column, its other names, what it holds, and the kind and group of the probes that it makes, if any."""

    names: tuple[str, ...]
    holds: str
    probes: str = ""
    numbered: bool = True


_FACT = (
    Column(("prompt", "question", "update"), "**Required.** The text that the model continues.", numbered=False),
    Column(
        ("target", "answer", "ans", "object"),
        "**Required.** The answer after the edit.",
        "success",
        numbered=False,
    ),
    Column(
        ("subject",),
        "What the fact is about, spelled as in the prompt. ROME, MEMIT and their relatives need it.",
        numbered=False,
    ),
    Column(("id", "case_id"), "Name of the record in the results. Position and content unless given.", numbered=False),
    Column(("aliases",), "Another spelling of the target that counts as right."),
    Column(TRUTHS, "The answer before the edit, which the edit should make less likely.", numbered=False),
    Column(
        ("irrelevant",),
        "A prompt that a method may train on to leave it alone. It is never asked as a probe.",
    ),
    Column(
        SUBJECT_ALIASES,
        "Another name of the subject: the prompt is asked with it.",
        "portability Subject_Aliasing",
        numbered=False,
    ),
)

_ASKED = {
    "generality": "The prompt in other words.",
    "portability": "A question whose answer follows from the edit.",
    "locality": "A question that the edit should not change.",
    "fluency": "The beginning of a text to be continued, scored for repetition.",
}
_ORDER = tuple(_ASKED)
_HOPS = re.compile(r"\dhop")
_DEFAULTS = {
    "target": "Its answer is the target",
    "truth": "Its answer is the truth",
    "subject": "Its answer is the subject",
    "": "Its answer must be given",
}


def columns() -> tuple[Column, ...]:
    """All columns of an own file, those of the fact first, then those of probes in the order of their kinds."""
    by_meaning: dict[Probes, list[str]] = {}
    for name, probes in PROBES.items():
        # `questions_3hop` is `questions_1hop` with another number, as are its answers.
        alike = replace(probes, answers=tuple(_HOPS.sub("1hop", answer) for answer in probes.answers))
        by_meaning.setdefault(alike, []).append(name)
    made = (_of_probes(probes, tuple(names)) for probes, names in by_meaning.items())
    return (*_FACT, *sorted(made, key=lambda column: _ORDER.index(column.probes.split()[0])))


def columns_table() -> str:
    """The table of :func:`columns` in Markdown."""
    lines = ["| column | other names | several | holds | probes |", "|---|---|---|---|---|"]
    for column in columns():
        name, *others = column.names
        several = f"`{name}_2` …" if column.numbered else "no"
        called = ", ".join(f"`{other}`" for other in others)
        lines.append(f"| `{name}` | {called} | {several} | {column.holds} | {column.probes} |")
    return "\n".join(lines) + "\n"


def _of_probes(probes: Probes, names: tuple[str, ...]) -> Column:
    asked = _ASKED[probes.kind]
    if probes.kind == "fluency":
        return Column(names, asked, probes.kind)
    answer = _DEFAULTS[probes.default]
    if probes.answers:
        named = dict.fromkeys((*probes.answers, f"{names[0]}_answer"))
        places = "in " + " or ".join(f"`{one}`" for one in named)
    else:
        places = f"in `{names[0]}_answer`"
    answer += f" unless given {places}." if probes.default else f", {places}."
    return Column(names, f"{asked} {answer}", f"{probes.kind} {probes.group}".rstrip())
