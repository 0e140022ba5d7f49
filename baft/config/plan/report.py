"""What the report of a study has: its tables and figures, and its pages."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, JsonValue

from baft.config.cells import RunMethod
from baft.config.plan.analyses import Analyses
from baft.config.plan.grid import Grid
from baft.config.plan.grids import Grids
from baft.config.plan.lineup import Lineup
from baft.config.plan.searches import Searches
from baft.config.products import FigureProduct, Product, TableProduct, all_products
from baft.config.sections import Section
from baft.config.study import Study


class PageSpec(Section):
    """What the pages of a study are told: the report, and the answers."""

    config: dict[str, JsonValue] = Field(description="The study's config with all defaults.")
    grid: Grid = Field(description="All cells.")
    tables: dict[str, str] = Field(description="Names of the tables, in their order, with their labels.")
    figures: dict[str, str] = Field(description="Names of the figures, in their order, with their labels.")
    methods: tuple[RunMethod, ...] = Field(description="The methods on each model, without swept points.")


@dataclass(frozen=True)
class Report:
    """The tables and figures of a study with the cells of each, and what their jobs and the pages are told."""

    study: Study
    lineup: Lineup
    grids: Grids
    searches: Searches
    analyses: Analyses

    @functools.cached_property
    def products(self) -> dict[Product, Grid]:
        """The tables and figures that this study has, in the order of the report, with the cells of each."""
        grids = {
            "sequences": self.grids.sequences,
            "sensitivity": self.grids.sensitivity,
            "ablations": self.grids.ablations,
            "tuning": self.searches.grid,
        }
        found = {}
        for one in all_products():
            grid = grids.get(one.cells, self.grids.all)
            if grid is not None and self._has_methods_of(one) and _has_benchmarks_of(one, grid):
                told = {key: self._setting(key) for key in one.settings}
                says = isinstance(one, TableProduct) and one.of_cells
                found[one] = grid.model_copy(update={"settings": told, "origins": self.lineup.origins if says else {}})
        return found

    @property
    def tables(self) -> list[TableProduct]:
        """The tables among :attr:`products`."""
        return [one for one in self.products if isinstance(one, TableProduct)]

    @property
    def table_labels(self) -> dict[str, str]:
        """Labels of the tables by name, all those of a job that makes several."""
        return {name: label for table in self.tables for name, label in table.labels.items()}

    @property
    def figures(self) -> list[FigureProduct]:
        """The figures among :attr:`products`."""
        return [one for one in self.products if isinstance(one, FigureProduct)]

    def files(self, one: Product) -> list[Path]:
        """The files that a table or figure is made of."""
        return self.products[one].files(one.cells)

    def spec(self, one: Product) -> str:
        """What the job of a table or figure is told, as JSON."""
        return self.products[one].model_dump_json()

    @functools.cached_property
    def page(self) -> PageSpec:
        """What the pages of the study are told."""
        lineup = self.lineup
        return PageSpec(
            # Which edits are kept shows on no page.
            config=self.study.model_dump(mode="json", exclude={"keep_edits"}),
            grid=self.grids.all,
            tables=self.table_labels,
            figures={figure.name: figure.label for figure in self.figures},
            methods=tuple(
                RunMethod(**lineup.spec(model, label).model_dump(), model=model, given=dict(line.settings))
                for label, line in lineup.lines.items()
                for model in self.study.models
            ),
        )

    def page_spec(self) -> str:
        """:attr:`page` as JSON."""
        return self.page.model_dump_json()

    @functools.cached_property
    def config(self) -> str:
        """The study's config as JSON, which the jobs of tables and figures hold their cells to."""
        return json.dumps(self.page.config)

    @functools.cached_property
    def bases(self) -> list[Path]:
        """Files of the analysis that a table or figure is made of."""
        return self.grids.all.bases() if any(one.cells == "bases" for one in self.products) else []

    def _has_methods_of(self, one: Product) -> bool:
        if one.cells != "bases":
            return True
        return any(bases.varies or not one.weighed for bases in self.analyses.bases())

    def _setting(self, key: str) -> JsonValue:
        value: Any = self.study
        for part in key.split("."):
            value = getattr(value, part)
        found: JsonValue = value
        return found


def _has_benchmarks_of(one: Product, grid: Grid) -> bool:
    return not one.several_benchmarks or any(len(own) > 1 for own in grid.protocols.values())
