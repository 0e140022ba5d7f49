"""Pages of HTML: one file each, that asks no other machine for anything; whatever text it shows stays text."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import itables.options
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from baft.files import write_text

TEMPLATES = Path(__file__).with_name("templates")

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
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


def embedded(picture: Path) -> str:
    """The address of a PNG that is part of the page."""
    return f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"
