"""The references leave nothing out, and the site's menu has every page."""

import re
from pathlib import Path

import pytest
import yaml

from baft.config.method_files import settings_class, shipped_methods
from baft.config.methods import sections_of
from baft.config.reference import config_reference, methods_reference
from baft.config.study import Study

ROOT = Path(__file__).parents[2]


def keys(text: str) -> dict[str, list[str]]:
    """The keys of each section of a reference, by its heading."""
    sections = re.split(r"^#+ ", text, flags=re.M)[1:]
    return {part.splitlines()[0]: re.findall(r"^\| `(\w+)` \|", part, re.M) for part in sections}


def test_every_key_of_every_section_is_in_the_reference() -> None:
    schema = Study.model_json_schema()
    found = keys(config_reference())
    assert found["Every key of the config"] == list(schema["properties"])
    expected = [list(kind["properties"]) for kind in schema["$defs"].values() if "properties" in kind]
    listed = list(found.values())
    assert all(some in listed for some in expected) and len(listed) == len(expected) + 1
    assert {"models.LABEL", "models.LABEL.resources", "benchmarks.LABEL", "evaluation"} <= found.keys()


def test_a_row_says_what_a_key_may_be_its_default_and_its_meaning() -> None:
    text = config_reference()
    assert '| `dtype` | `float32`, `bfloat16`, `float16` | `"float32"` | Number format the model runs in. |' in text
    assert "| `skip` | whole number, at least 0 | `0` |" in text
    assert "| `level` | number, above 0, below 1 | `0.95` |" in text
    assert "``" not in text


@pytest.mark.parametrize("name", sorted(shipped_methods()))
def test_every_setting_of_every_method_is_in_the_reference(name: str) -> None:
    kind = settings_class(name)
    heading = f"{kind.title} (`{name}`)" if kind.title and kind.title != name else name
    assert keys(methods_reference())[heading] == list(kind.model_fields)
    part = methods_reference().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    assert all(f"For {model}: " in part for model in sections_of(name))


def test_every_page_is_in_the_menu() -> None:
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    named = set(re.findall(r"[\w-]+\.md", yaml.safe_dump([site["nav"], site.get("not_in_nav")])))
    assert pages <= named
