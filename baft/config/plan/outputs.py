"""The files that a study writes, and how many jobs write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from baft.config.layout import Layout, at
from baft.config.plan.edits import Edits
from baft.config.plan.grids import Grids
from baft.config.plan.report import Report
from baft.config.plan.searches import Searches
from baft.config.study import Study


@dataclass(frozen=True)
class Outputs:
    """The result files of a study, and its jobs by rule."""

    study: Study
    layout: Layout
    grids: Grids
    edits: Edits
    searches: Searches
    report: Report

    def all(self) -> list[Path]:
        """Every file of the result datasets that the study writes, and its prepared benchmarks."""
        return [*self._few(), *(file for shard in self.grids.edit_jobs() for file in self._of_shard(shard))]

    def asked(self) -> list[Path]:
        """Of all files those that must be asked for by name: all but the shards' files, and of these the ones that
        are gone though something was made of them or with them. Of every other shard a summary asks for the edits, and the
        probes come with them: naming 100,000 shards twice has its price."""
        done = {summary for summary in self.grids.summaries() if summary.is_file()}
        gone = []
        for shard in self.grids.edit_jobs():
            files = self._of_shard(shard)
            if files[1].is_file() or at(self.layout.record, **shard) in done:
                gone += [file for file in files if not file.is_file()]
        return [*self._few(), *gone]

    def covariances(self, model: str) -> list[str]:
        """The covariances of a model that any job reads, of edits or of tuning."""
        edits = (file for method in self.edits.lineup.methods for file in self.edits.covariances(model, method))
        searches = (file for method in self.searches.methods for file in self.searches.covariances(model, method))
        return list(dict.fromkeys([*edits, *searches]))

    def job_counts(self) -> dict[str, int]:
        """How many jobs each rule has in an empty folder, rules without any left out."""
        study = self.study
        counts = {
            "prepare_model": len(study.models),
            "prepare_benchmark": len(study.benchmarks),
            "measure_base": len(study.models) * len(study.benchmarks),
            "collect_covariances": sum(len(self.covariances(model)) for model in study.models),
            "tune_method": len(self.searches.jobs()),
            "edit_shard": len(self.grids.edit_jobs()),
            "summarise_cell": len(self.grids.summaries()),
            "analyse_subspace": len(self.report.bases),
        }
        shown = (f"show_table_{name}" for name in self.report.table_labels)
        for rule in (*(one.rule for one in self.report.products), *shown, "write_report", "write_answers"):
            counts[rule] = 1
        return {rule: count for rule, count in counts.items() if count}

    def _of_shard(self, shard: Mapping[str, object]) -> list[Path]:
        patterns = (self.layout.probes, self.layout.edits, self.edits.kept)
        return [at(pattern, **shard) for pattern in patterns if pattern is not None]

    def _few(self) -> list[Path]:
        study, layout = self.study, self.layout
        shared = [at(layout.base, model=model, benchmark=label) for model in study.models for label in study.benchmarks]
        for label in study.benchmarks:
            shared += [at(layout.benchmark, benchmark=label), at(layout.loading, benchmark=label)]
        return [*shared, *self.grids.summaries(), *self.searches.files(), *self.report.bases]
