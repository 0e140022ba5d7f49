"""The tables and figures of the report, as their own files declare them.

A product is one file in ``baft/report/tables`` or ``baft/report/figures``: ``PRODUCT``, which says what it is made of and
how the report names it, and ``write``, which makes it. The first line of the file's docstring is the help of its command.

The declarations are read without importing the files, which import pandas and matplotlib: every job parses the Snakefile
again. So ``PRODUCT`` is a call with literal keywords.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Cells = Literal["records", "curves", "sequences", "sensitivity", "ablations", "bases", "benchmarks", "tuning"]
"""What a product is made of: the summaries of all cells, without or with those of swept points; those of streams of several
steps, of the map over layer and rank, of a method and its variants; the analysis of edits; the prepared
benchmarks; the trials of tuning."""

_REPORT = Path(__file__).resolve().parents[1] / "report"


@dataclass(frozen=True, kw_only=True)
class Product:
    """A table or figure. ``place`` orders them in the report; ``name`` and ``about`` come from the file itself."""

    cells: Cells
    label: str
    place: int
    # Of the analysis: it shows weights, so that the study must have a method whose weights depend on the input.
    weighed: bool = False
    # It is about several benchmarks, which some protocol must have.
    several_benchmarks: bool = False
    # Keys of the config that it is told, such as "analysis.picture".
    settings: tuple[str, ...] = ()
    # Name of its rule, where that is not what the rule does and the product's name.
    job: str = ""
    name: str = ""
    about: str = ""

    @property
    def of_cells(self) -> bool:
        """Whether it is made of the summaries of cells."""
        return self.cells not in ("bases", "benchmarks", "tuning")

    @property
    def module(self) -> str:
        """The module that holds it."""
        return f"baft.report.{self.folder}.{self.name}"

    @property
    def rule(self) -> str:
        """Name of its rule."""
        return self.job or f"{self.verb}_{self.name}"

    @property
    def command(self) -> str:
        """Name of its command."""
        return self.rule.replace("_", "-")

    @property
    def files(self) -> list[str]:
        """Names of the files that it writes, the first with its own name."""
        raise NotImplementedError

    @property
    def folder(self) -> str:
        """Folder of its file in the package, and of what it writes in the results."""
        raise NotImplementedError

    @property
    def verb(self) -> str:
        """What its rule does."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class FigureProduct(Product):
    """A figure: PDF, PNG, and the CSV of what it shows. The report has it under ``category``."""

    category: str

    @property
    def files(self) -> list[str]:
        return [f"{self.name}.{suffix}" for suffix in ("pdf", "png", "csv")]

    @property
    def folder(self) -> str:
        return "figures"

    @property
    def verb(self) -> str:
        return "plot"


@dataclass(frozen=True, kw_only=True)
class TableProduct(Product):
    """A table as CSV, JSON, Markdown and LaTeX, and perhaps others that the same job makes."""

    # By name, the labels of further tables; each has a caption of its own.
    others: Mapping[str, str] = field(default_factory=dict, hash=False)
    # Files that are no tables of the report.
    also: tuple[str, ...] = ()

    @property
    def files(self) -> list[str]:
        return [*(f"{name}.{suffix}" for name in self.labels for suffix in ("csv", "md", "tex", "json")), *self.also]

    @property
    def folder(self) -> str:
        return "tables"

    @property
    def verb(self) -> str:
        return "tabulate"

    @property
    def labels(self) -> dict[str, str]:
        """Labels of all its tables by name."""
        return {self.name: self.label, **self.others}


@functools.cache
def all_products() -> tuple[Product, ...]:
    """Every product there is, in the order of the report."""
    files = (path for kind in ("tables", "figures") for path in sorted((_REPORT / kind).glob("[!_]*.py")))
    return tuple(sorted((declared(path) for path in files), key=lambda product: product.place))


def declared(path: Path) -> Product:
    """The product that a file declares. Raises ``ValueError`` if it declares none, or not in literals."""
    tree = ast.parse(path.read_bytes())
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="PRODUCT")], value=ast.Call(func=ast.Name(id=kind), keywords=given)):
                break
    else:
        raise ValueError(f"{path} has no line PRODUCT = FigureProduct(...) or TableProduct(...)")
    try:
        keywords = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in given}
    except ValueError as error:
        raise ValueError(f"{path}: PRODUCT must be written in literals, for it is read without an import") from error
    about = (ast.get_docstring(tree) or "").partition("\n")[0]
    return _KINDS[kind](**keywords, name=path.stem, about=about)


_KINDS: dict[str, type[FigureProduct] | type[TableProduct]] = {
    kind.__name__: kind for kind in (FigureProduct, TableProduct)
}
