"""The benchmarks of a study: what the jobs that read them are told."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from baft.config.contents import contents_digest
from baft.config.study import Study


@dataclass(frozen=True)
class Benchmarks:
    """Answers about a benchmark, by its label."""

    study: Study

    def spec(self, benchmark: str) -> str:
        """A benchmark as JSON, without its shards, which are not the records' business."""
        section = self.study.benchmarks[benchmark]
        if section.source == "file" and section.path:
            section = section.model_copy(update={"path": self.study.located(section.path)})
        return section.model_dump_json(exclude={"shards"})

    def files(self, benchmark: str) -> list[str]:
        """Local files that a benchmark is read from."""
        section = self.study.benchmarks[benchmark]
        return [self.study.located(section.path)] if section.source == "file" and section.path else []

    def contents(self, benchmark: str) -> str:
        """Digest of a local file, which the user may change; empty for a benchmark that is pinned.

        The content counts and not the time of a file, or an older file in the place of another would rerun nothing.
        """
        return self._contents[benchmark]

    def shards(self, benchmark: str) -> int:
        """Into how many jobs a cell is dealt."""
        return self.study.benchmarks[benchmark].shards

    @functools.cached_property
    def _contents(self) -> dict[str, str]:
        return {label: contents_digest(self.files(label)) for label in self.study.benchmarks}
