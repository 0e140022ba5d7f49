"""Pages of HTML: one file each, that asks no other machine for anything; whatever text it shows stays text."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import itables.options
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from baft.files import write_text
from baft.report.rendering import visible
from baft.report.style import COLUMN, DPI, PAGE

TEMPLATES = Path(__file__).with_name("templates")

PICTURES = 6_000_000
"""Bytes of all pictures of a page, before they are written as text."""


def _shown(value: Any) -> Any:
    """Text without what cannot be seen; what is HTML already is left alone."""
    return visible(value) if type(value) is str else value


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    finalize=_shown,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write_page(template: str, out: Path, **values: Any) -> Path:
    """Write the page that ``template`` makes of ``values``, texts as they are; return its path."""
    return write_text(out, _ENVIRONMENT.get_template(template).render(values))


def library() -> dict[str, Markup]:
    """DataTables with its extensions, as itables ships it: its ``style``, and its ``script`` as the address of a module."""
    bundle = Path(itables.options.dt_bundle)
    script = base64.b64encode(bundle.read_bytes()).decode()
    style = bundle.with_suffix(".css").read_text(encoding="utf-8")
    return {"style": Markup(style), "script": Markup(f"data:text/javascript;base64,{script}")}


def embedded(pictures: Mapping[str, Path]) -> dict[str, str]:
    """The addresses of PNG files as parts of a page, which have at most :data:`PICTURES` bytes together.

    If the files have more, their colours are reduced to 256, and if need be they are made smaller.
    """
    read = {name: path.read_bytes() for name, path in pictures.items()}
    shrunk, scale = read, 1.0
    while sum(map(len, shrunk.values())) > PICTURES:
        shrunk = {name: _reduced(content, scale) for name, content in read.items()}
        scale *= 0.7
    return {name: f"data:image/png;base64,{base64.b64encode(content).decode()}" for name, content in shrunk.items()}


def in_one_column(picture: Path) -> bool:
    """Whether a figure, given as PNG, is as wide as one column of a paper, and not as its page."""
    with Image.open(picture) as opened:
        return opened.width < DPI * (COLUMN + PAGE) / 2


def _reduced(content: bytes, scale: float) -> bytes:
    with Image.open(io.BytesIO(content)) as picture:
        size = tuple(max(1, round(scale * side)) for side in picture.size)
        small = io.BytesIO()
        drawn = picture.convert("RGB").resize((size[0], size[1]), Image.Resampling.LANCZOS)
        drawn.quantize(256).save(small, "PNG", optimize=True)
    return small.getvalue()
