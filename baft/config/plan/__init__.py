"""A study worked out: its cells, what each job is told and needs, and which files the tables are made of.

The rules look everything up here, each in the part that it is about.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

from baft.config.layout import Layout
from baft.config.plan.analyses import Analyses
from baft.config.plan.benchmarks import Benchmarks
from baft.config.plan.checks import check
from baft.config.plan.covariances import Covariances
from baft.config.plan.edits import Edits
from baft.config.plan.grid import Grid
from baft.config.plan.grids import Grids
from baft.config.plan.lineup import Lineup
from baft.config.plan.models import Models
from baft.config.plan.outputs import Outputs
from baft.config.plan.report import PageSpec, Report
from baft.config.plan.searches import Searches
from baft.config.study import Study

__all__ = ["Grid", "PageSpec", "Plan"]


@dataclass(frozen=True)
class Plan:
    """The parts of a study's plan; wildcards are passed to them as the strings they are."""

    study: Study

    def check(self) -> None:
        """Raise :class:`~baft.errors.UserError` for the first method or setting that is wrong for any model."""
        check(self.lineup, self.searches, self.analyses)

    @functools.cached_property
    def layout(self) -> Layout:
        """Where the files lie."""
        text = hashlib.sha256(self.study.covariances.model_dump_json().encode()).hexdigest()[:12]
        return Layout(self.study.results, self.study.cache, text)

    @functools.cached_property
    def models(self) -> Models:
        """The models."""
        return Models(self.study, self.layout)

    @functools.cached_property
    def benchmarks(self) -> Benchmarks:
        """The benchmarks."""
        return Benchmarks(self.study)

    @functools.cached_property
    def covariances(self) -> Covariances:
        """The text of key covariances."""
        return Covariances(self.study)

    @functools.cached_property
    def lineup(self) -> Lineup:
        """The methods as they are run."""
        return Lineup(self.study)

    @functools.cached_property
    def grids(self) -> Grids:
        """The cells."""
        return Grids(self.study, self.lineup)

    @functools.cached_property
    def edits(self) -> Edits:
        """The jobs that edit."""
        return Edits(self.study, self.layout, self.lineup, self.grids)

    @functools.cached_property
    def searches(self) -> Searches:
        """The jobs that tune."""
        return Searches(self.study, self.layout, self.lineup, self.grids)

    @functools.cached_property
    def analyses(self) -> Analyses:
        """The jobs that look into edits."""
        return Analyses(self.study, self.lineup)

    @functools.cached_property
    def report(self) -> Report:
        """The tables, figures and pages."""
        return Report(self.study, self.lineup, self.grids, self.searches, self.analyses)

    @functools.cached_property
    def outputs(self) -> Outputs:
        """The files that all jobs write."""
        return Outputs(self.study, self.layout, self.grids, self.edits, self.searches, self.report)
