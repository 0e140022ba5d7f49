"""A table as a page of its own, for reports that show HTML only."""

from __future__ import annotations

import html
from pathlib import Path

from markdown_it import MarkdownIt

from baft.files import replacing

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
body {{ font: 14px/1.5 system-ui, sans-serif; margin: 1.5em; color: #222; background: #fff; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: 0.25em 0.8em; border-bottom: 1px solid #ddd; white-space: nowrap; }}
img {{ max-width: 100%; width: 60em; }}
thead th {{ border-bottom: 2px solid #222; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def show_table(markdown: Path, out: Path) -> None:
    """Write the Markdown file of a table as a self-contained HTML page; what looks like HTML in it stays text."""
    with replacing(out) as file:
        file.write(page(markdown.stem, markdown.read_text(encoding="utf-8")).encode())


def page(title: str, markdown: str) -> str:
    """Markdown with tables as a self-contained HTML page."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    return _PAGE.format(title=html.escape(title), body=body)
