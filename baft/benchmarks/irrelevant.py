"""The pool of prompts that training-time locality terms draw from.

The pool is disjoint from every probe: its templates have a wording of their own, so that a method that trains on them
never trains on what judges it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from baft.benchmarks.resources import resource
from baft.errors import UserError

SLOT = "{subject}"
# The kind of a template that fits subjects of every kind.
ANY = "any"
_KEYS = ("general", "templates", "subjects", "attributes")


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt with the slot ``{subject}``; ``kind`` is the kind of subject that it suits, or ``any``."""

    kind: str
    text: str

    def fill(self, subject: str) -> str:
        """The prompt about ``subject``, with a capital at the prompt's start unless the subject has one inside (iPhone)."""
        prompt = self.text.replace(SLOT, subject)
        lower = bool(subject) and subject.split()[0].islower()
        # A title's capital is one letter, and Georgian has none.
        return prompt[:1].title() + prompt[1:] if lower and self.text.startswith(SLOT) else prompt


@dataclass(frozen=True, slots=True)
class Subject:
    """A well-known subject and its kind (``person``, ``place`` …)."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Pool:
    """Prompts unrelated to any edit, templates to ask other relations of a subject, and other subjects to ask about.

    ``statements`` and ``questions`` are plain templates, one of either for each of many attributes.
    """

    general: tuple[str, ...]
    templates: tuple[Template, ...]
    subjects: tuple[Subject, ...]
    statements: tuple[Template, ...]
    questions: tuple[Template, ...]


@cache
def load_pool(path: Path | None = None) -> Pool:
    """Read the pool from ``path``, by default the shipped ``resources/irrelevant.yaml``.

    Raises:
        UserError: the file is missing or is not such a pool.
    """
    path = resource("irrelevant.yaml") if path is None else path
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not set(_KEYS) <= content.keys():
        raise UserError(f"{path}: give the keys {', '.join(_KEYS)}.")
    templates = tuple(Template(kind, text) for kind, text in _by_kind(content["templates"], path, "templates"))
    if broken := [template.text for template in templates if SLOT not in template.text]:
        raise UserError(f"{path}: the template {broken[0]!r} has no {SLOT}; give it one.")
    attributes = _by_kind(content["attributes"], path, "attributes")
    return Pool(
        general=_texts(content["general"], path, "general"),
        templates=templates,
        subjects=tuple(Subject(kind, name) for kind, name in _by_kind(content["subjects"], path, "subjects")),
        statements=tuple(Template(kind, f"The {name} of {SLOT} is") for kind, name in attributes),
        questions=tuple(Template(kind, f"What is the {name} of {SLOT}?") for kind, name in attributes),
    )


def _by_kind(value: Any, path: Path, key: str) -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        raise UserError(f"{path}: {key} must map kinds of subject to lists of text.")
    return [(str(kind), text) for kind, texts in value.items() for text in _texts(texts, path, f"{key}.{kind}")]


def _texts(value: Any, path: Path, key: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(text, str) and text.strip() for text in value):
        raise UserError(f"{path}: {key} must be a list of non-empty text.")
    return tuple(value)
