"""The jobs that look into edits, for methods whose edits are made of bases."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from baft.config.cells import AnalysisSpec
from baft.config.method_files import sources_of
from baft.config.plan.lineup import Lineup
from baft.config.sources import shipped_source
from baft.config.study import Study
from baft.config.sweeps import Point
from baft.methods.settings import Bases


@dataclass(frozen=True)
class Analyses:
    """What is looked into, and with which settings."""

    study: Study
    lineup: Lineup

    @functools.cached_property
    def methods(self) -> dict[str, str]:
        """The methods whose edits are made of bases, with the line of each: that of its name, or else the first."""
        found: dict[str, str] = {}
        for label, line in sorted(self.lineup.lines.items(), key=lambda item: item[0] != item[1].method):
            if self.lineup.bases_of(label) is not None:
                found.setdefault(line.method, label)
        return found

    def bases(self) -> list[Bases]:
        """What the edits of those methods are made of; empty if nothing is looked into."""
        if not self.study.analysis.records:
            return []
        return [bases for label in self.methods.values() if (bases := self.lineup.bases_of(label)) is not None]

    def points(self) -> dict[str, Point]:
        """The lines of those methods, by label, with the rank and layer of the analysis."""
        analysis = self.study.analysis
        changed = {"rank": analysis.rank} | ({} if analysis.layer is None else {"layer": analysis.layer})
        return {
            label: Point(method, {**self.lineup.lines[label].settings, **changed})
            for method, label in self.methods.items()
        }

    def spec(self, model: str) -> str:
        """What the analysis jobs of a model are told, as JSON."""
        study, analysis, lineup = self.study, self.study.analysis, self.lineup
        spec = AnalysisSpec(
            model_label=model,
            model=study.models[model],
            methods=tuple(lineup.spec(model, label, point) for label, point in self.points().items()),
            seed=study.seeds[0],
            records=analysis.records,
        )
        return spec.model_dump_json(exclude={"model": {"resources"}})

    def source(self) -> str:
        """Digest of the code behind the analysis, of all methods only its own."""
        return shipped_source(
            "baft.analysis.subspaces", *(source for method in self.methods for source in sources_of(method))
        )
