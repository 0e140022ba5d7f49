"""The models of a study: what the jobs on each are told, and what they ask of a cluster."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from baft.config.cells import model_numbers, model_source, model_spec
from baft.config.layout import Layout, at
from baft.config.study import Study


@dataclass(frozen=True)
class Models:
    """Answers about a model, by its label."""

    study: Study
    layout: Layout

    def spec(self, model: str) -> str:
        """A model as JSON."""
        return self._specs[model]

    def source(self, model: str) -> str:
        """Where a model comes from, as JSON: studies that share a cache prepare it once, whatever else they say of it."""
        return model_source(self.study.models[model])

    def numbers(self, model: str) -> str:
        """What decides a model's numbers, as JSON."""
        return model_numbers(self.study.models[model])

    def contents(self, model: str) -> str:
        """Fingerprint of a model that the user keeps in a folder, who may change it; empty for one that is pinned.

        The content counts and not the time of a file, or a copy of an unchanged model would rerun the whole study.
        """
        return self._contents[model]

    def files(self, model: str) -> list[str]:
        """The files of a model that the user keeps in a folder."""
        from baft.models.files import model_files

        section = self.study.models[model]
        if section.source != "folder" or not section.path:
            return []
        return [f"{section.path}/{name}" for name in model_files(Path(section.path))]

    def resources(self, model: str) -> dict[str, int]:
        """What a job of a model asks of a cluster."""
        return self._resources[model]

    @functools.cached_property
    def _specs(self) -> dict[str, str]:
        return {label: model_spec(model) for label, model in self.study.models.items()}

    @functools.cached_property
    def _contents(self) -> dict[str, str]:
        from baft.models.files import planned_fingerprint

        return {
            label: planned_fingerprint(Path(section.path), at(self.layout.model, model=label))
            if section.source == "folder" and section.path
            else ""
            for label, section in self.study.models.items()
        }

    @functools.cached_property
    def _resources(self) -> dict[str, dict[str, int]]:
        return {label: model.resources.model_dump() for label, model in self.study.models.items()}
