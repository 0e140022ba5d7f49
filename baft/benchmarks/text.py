"""General text that ships with the project: what an edit should leave as likely as it was."""

from __future__ import annotations

from pathlib import Path

from baft.benchmarks.resources import resource
from baft.errors import UserError


def load_passages(path: Path | None = None) -> tuple[str, ...]:
    """The paragraphs of ``path``, by default of the shipped ``resources/text.txt``, without its headings.

    Paragraphs are set apart by empty lines; one without a full stop is a heading.

    Raises:
        UserError: the file is missing, is not UTF-8 text, or has no paragraph.
    """
    path = resource("text.txt") if path is None else path
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    blocks = (" ".join(block.split()) for block in content.split("\n\n"))
    passages = tuple(block for block in blocks if "." in block)
    if not passages:
        raise UserError(f"{path}: has no paragraph; give text with full stops, paragraphs set apart by empty lines.")
    return passages
