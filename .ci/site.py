"""Pages of the site that are made from other files (a hook of MkDocs, see mkdocs.yml)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from baft.config.reference import config_reference, methods_reference

ROOT = Path(__file__).resolve().parents[1]

PYTHON = """# Python

What `import baft` offers, and the class that a method of yours derives from.

::: baft.library.edit
::: baft.library.load_model
::: baft.edited.EditedModel
::: baft.report.reading.read_results
::: baft.report.reading.read_records
::: baft.methods.base.Method
::: baft.methods.base.Context
"""

# Files outside docs/ that are pages of the site, and under which names.
ELSEWHERE = {"README.md": "index.md", "config/README.md": "config.md", "CONTRIBUTING.md": "contributing.md"}


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages."""
    made = {
        "reference-config.md": config_reference(),
        "reference-methods.md": methods_reference(),
        "reference-python.md": PYTHON,
        **{page: (ROOT / path).read_text(encoding="utf-8") for path, page in ELSEWHERE.items()},
    }
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Points links at pages of the site, wherever the file is that has them."""
    source = next((path for path, name in ELSEWHERE.items() if name == page.file.src_uri), f"docs/{page.file.src_uri}")
    folder = (ROOT / source).parent

    def linked(match: re.Match[str]) -> str:
        path, anchor = match[1], match[2] or ""
        target = (folder / path).resolve()
        if not target.is_relative_to(ROOT):
            return match[0]
        known = ELSEWHERE.get(str(target.relative_to(ROOT)))
        return f"]({known or str(target.relative_to(ROOT)).removeprefix('docs/')}{anchor})"

    markdown = re.sub(r"\]\((?!\w+:)([^)#\s]+)(#[^)\s]*)?\)", linked, markdown)
    # GitHub begins a list without an empty line before it.
    return re.sub(r"^((?![-*]|\d+\.|\s|\||#|>|```).+)\n(?=[-*] |1\. )", r"\1\n\n", markdown, flags=re.M)


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Shows Sphinx's roles in docstrings as the names that they are about."""
    return re.sub(r":(?:class|func|mod|data|attr|meth|obj):<code>~?(?:[\w.]*\.)?(\w+)</code>", r"<code>\1</code>", html)
