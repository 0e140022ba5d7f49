"""The captions of tables and figures, which Snakemake's report shows too, as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from docutils.core import publish_parts
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from baft.shipped import shipped

FOLDER = "workflow/report"

# Blocks are trimmed as Snakemake does it, which decides where a list has the empty line before it that it needs.
_ENVIRONMENT = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
# What a label or path of the config says must include no file and no HTML; a fault in a caption shows as a box.
_SETTINGS = {"raw_enabled": False, "file_insertion_enabled": False, "initial_header_level": 4, "_disable_config": True}


def caption(name: str, config: Mapping[str, Any]) -> Markup:
    """The caption of the table or figure ``name`` for a study with this config, all defaults filled in."""
    text = (shipped(FOLDER) / f"{name}.rst").read_text(encoding="utf-8")
    filled = _ENVIRONMENT.from_string(text).render(snakemake=SimpleNamespace(config=config))
    return Markup(publish_parts(filled, writer="html5", settings_overrides=_SETTINGS)["body"])
