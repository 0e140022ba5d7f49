"""The documentation's blocks, as they stand: shell commands run, configs are valid, and what cannot be run says why."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from baft.benchmarks.load import load
from baft.config import Plan, parse_study
from baft.config.reference import methods_table

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "config/README.md", *sorted((ROOT / "docs").glob("*.md"))]
# The Python of a page, and the test that runs it.
RUN_ELSEWHERE = {
    "README.md": "tests/test_installed.py",
    "docs/adding-a-method.md": "tests/methods/test_adding.py",
    "docs/editing-in-python.md": "tests/test_python_page.py",
    "docs/output.md": "tests/report/test_reading.py",
    "docs/refereeing-your-editor.md": "tests/methods/test_refereeing.py",
}
LANGUAGES = {"bash", "python", "yaml", "json", "text"}
# Parts of a page that are no page's words: HTML comments say what to do with the block below them.
BLOCK = re.compile(
    r"^(?:<!-- (?P<note>[^\n]*) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
COMMAND = re.compile(r"^    (?:git|make|python|baft|snakemake|pip|\.venv/)\b.*", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    page: Path
    language: str
    text: str
    note: str

    @property
    def is_run(self) -> bool:
        return not self.note.startswith("not run: ")


def blocks(page: Path, *languages: str) -> list[Block]:
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    every = [Block(page, one["language"], one["text"], one["note"] or "") for one in found]
    return [one for one in every if not languages or one.language in languages]


def name(page: object) -> str:
    return str(page.relative_to(ROOT)) if isinstance(page, Path) else str(page)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_says_its_language_and_every_command_is_in_one(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert {block.language for block in blocks(page)} <= LANGUAGES
    assert text.count("\n```") == 2 * len(blocks(page))
    outside = BLOCK.sub("", text)
    assert not COMMAND.findall(outside)
    for block in blocks(page):
        assert not block.note.startswith("not run") or len(block.note) > len("not run: ") + 5


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder that looks like an installed clone, without anything that a study wrote."""
    for entry in ("config", "resources", "workflow", "Snakefile", "slurm", "docs"):
        (tmp_path / entry).symlink_to(ROOT / entry)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


@pytest.mark.parametrize("page", [p for p in PAGES if any(b.is_run for b in blocks(p, "bash"))], ids=name)
def test_the_commands_of_a_page_run_in_their_order(page: Path, clone: Path) -> None:
    (clone / "bin").mkdir()
    wrapper = clone / "bin" / "baft"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} -m baft "$@"\n')
    wrapper.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{clone / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
    }
    for block in blocks(page, "bash", "yaml"):
        if block.note.startswith("file: "):
            (clone / block.note.removeprefix("file: ")).write_text(block.text, encoding="utf-8")
        elif block.language == "bash" and block.is_run:
            script = f"set -euo pipefail\n{block.text}"
            done = subprocess.run(
                ["bash", "-c", script], cwd=clone, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{block.text}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "yaml")], ids=name)
def test_configs_are_valid(page: Path) -> None:
    for block in blocks(page, "yaml"):
        config = yaml.safe_load(block.text)
        Plan(parse_study(config)) if isinstance(config, dict) else pytest.fail(block.text)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "json")], ids=name)
def test_records_of_the_pages_are_read_without_a_remark(page: Path, tmp_path: Path) -> None:
    for block in blocks(page, "json"):
        (tmp_path / "facts.json").write_text(block.text, encoding="utf-8")
        benchmark = load(tmp_path / "facts.json", "facts")
        assert not (benchmark.rejected or benchmark.remarks or benchmark.notes), json.dumps(benchmark.notes)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=name)
def test_the_python_of_a_page_is_run_by_a_test(page: Path) -> None:
    test = ROOT / RUN_ELSEWHERE[name(page)]
    assert test.is_file() and page.name in test.read_text(encoding="utf-8")


def test_the_readme_has_every_method() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = text.partition("<!-- methods -->\n")[2].partition("<!-- end of methods -->")[0]
    assert shown.strip() == methods_table().strip(), "run `make schema`"


def test_every_benchmark_of_the_package_is_in_the_readme() -> None:
    from baft.benchmarks.embedded import EMBEDDED

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"`{label}`" in text for label in EMBEDDED)


def test_every_target_of_make_that_a_page_names_is_there_with_its_own_commands() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = {
        target for page in PAGES for target in re.findall(r"\bmake ([a-z][a-z-]+)", page.read_text(encoding="utf-8"))
    }
    # "make jobs of at most an hour" is no target.
    shown = {target for target in named if re.search(rf"^{target}:", makefile, re.MULTILINE)}
    assert {"report", "test", "test-slurm", "lint", "docs", "schema", "format", "lock", "install"} <= shown
    phony = makefile.partition(".PHONY: ")[2].partition("\n")[0].split()
    ruled = [re.match(r"([a-z-]+):", line)[1] for line in makefile.splitlines() if re.match(r"[a-z-]+:(?!=)", line)]
    assert sorted(phony) == sorted(ruled)


def test_the_manual_lists_every_config() -> None:
    text = (ROOT / "config/README.md").read_text(encoding="utf-8")
    configs = {path.name for path in (ROOT / "config").glob("*.yaml")} - {"known_models.yaml"}
    assert all(f"`config/{config}`" in text for config in configs)
