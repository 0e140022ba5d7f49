import re
from pathlib import Path
from types import SimpleNamespace

import jinja2
import pytest
from docutils.core import publish_parts

from baft.config.products import TableProduct, all_products
from baft.report.page.captions import caption

CAPTIONS = sorted((Path(__file__).parents[3] / "workflow" / "report").glob("*.rst"))
CONFIG = {
    "models": {"m": {}},
    "methods": ["none", "reft"],
    "benchmarks": {"mini_zsre": {"limit": 17, "split": "test"}, "zsre": {"limit": None}},
    "results": "elsewhere",
    "seeds": [0, 1],
    "statistics": {"level": 0.9},
    "sensitivity": {"method": "reft", "layer": [1], "rank": [2]},
    "ablations": {"method": "reft", "variants": {"a": {"rank": 2}}},
    "analysis": {"records": 7, "rank": 9, "layer": None, "picture": None},
    "protocols": {"single": {"size": 1, "length": 1}, "continual": {"size": 1, "length": 100}},
    "evaluation": {"max_new_tokens": 12},
    "tuning": {"trials": 3, "records": 53},
}


def render(caption: Path) -> str:
    # Blocks are trimmed as Snakemake does it, which decides where a list has the empty line before it that it needs.
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(caption.read_text())
    return template.render(snakemake=SimpleNamespace(config=CONFIG))


def test_there_is_a_caption_for_each_table_and_figure() -> None:
    names = [name for one in all_products() for name in (one.labels if isinstance(one, TableProduct) else [one.name])]
    assert sorted([*names, "workflow"]) == [caption.stem for caption in CAPTIONS]


@pytest.mark.parametrize("caption", CAPTIONS, ids=lambda caption: caption.stem)
def test_captions_are_valid_and_read_the_config(caption: Path) -> None:
    text = render(caption)
    assert any(value in text for value in ("90 %", "elsewhere/", "rank 9", "9 bases", "first\n53 records"))
    # Raises at the first warning: a caption that is not valid reStructuredText shows as an error box in the report.
    publish_parts(text, writer="html", settings_overrides={"halt_level": 2, "report_level": 2})


def test_a_page_shows_a_caption_as_html_and_text_of_the_config_as_text() -> None:
    own = CONFIG | {"results": "<b>x</b>", "benchmarks": {"a": {"limit": 3}}}
    shown = caption("failures", own)
    assert "<strong>Failures and what was not measured</strong>" in shown
    assert "&lt;b&gt;x&lt;/b&gt;/edits" in shown and "system-message" not in shown
    assert re.search(r"<li>\s*<p>a: the first 3 of the\s+tune split</p>\s*</li>", caption("main", own))


@pytest.mark.parametrize("name", ["main", "tradeoff", "parameters", "workflow"])
def test_captions_say_the_split(name: str) -> None:
    text = render(next(caption for caption in CAPTIONS if caption.stem == name))
    assert "test" in text and "tune" in text


def test_the_main_caption_says_which_records() -> None:
    text = " ".join(render(next(caption for caption in CAPTIONS if caption.stem == "main")).split())
    assert "mini_zsre: the first 17 of the test split" in text
    assert "zsre: all of the tune split" in text
    assert "other records, edited with the same seeds" in text
    assert "fewer than five units give none" in text


@pytest.mark.parametrize(
    ("record", "said"), [(None, "first record of the first benchmark"), ("r5", "of the record r5")]
)
def test_the_picture_says_whose_edit_it_shows(record: str | None, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONFIG, "analysis", {"records": 7, "rank": 9, "layer": None, "picture": record})
    assert said in " ".join(render(next(c for c in CAPTIONS if c.stem == "method_picture")).split())


@pytest.mark.parametrize(
    "name", ["redundant_dimensions", "basis_weights", "generality_locality_bound", "method_picture"]
)
def test_what_is_looked_into_says_at_which_layer(name: str) -> None:
    own = CONFIG | {"analysis": {"records": 7, "rank": 9, "layer": 0, "picture": None}}
    assert "Each method at its own layer." in caption(name, CONFIG)
    assert "All at layer 0." in caption(name, own)
