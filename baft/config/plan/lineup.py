"""The methods that a study runs: its lines, the points made of them, and the settings of each on each model."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from baft.config.cells import MethodSpec
from baft.config.known_models import known_at_planning
from baft.config.method_files import settings_class
from baft.config.methods import method_settings, origin_of, section_of, untuned_settings
from baft.config.study import Study
from baft.config.sweeps import Point, lattice_of, line_of, points_of, variants_of
from baft.methods.settings import Bases, MethodSettings


@dataclass(frozen=True)
class Lineup:
    """Every method that is run, by label. A line is what the config names under ``methods``; points are lines with other
    settings."""

    study: Study

    @functools.cached_property
    def lines(self) -> dict[str, Point]:
        """The methods of tables, the edit of zeros among them."""
        return {label: Point(section.method or label, section.settings) for label, section in self.study.lines.items()}

    @functools.cached_property
    def points(self) -> dict[str, Point]:
        """The swept points; a value that a line has for every model anyway makes none."""
        return {
            label: point for label, point in points_of(self.study.methods).items() if not self.is_line(label, point)
        }

    @functools.cached_property
    def lattice(self) -> dict[str, Point]:
        """What the map over layer and rank shows; a pair that the line has for every model is the line."""
        chosen = self.study.sensitivity
        if chosen.method is None:
            return {}
        points = lattice_of(chosen, chosen.method, self.lines[chosen.method])
        own = {line_of(label) if self.is_line(label, point) else label: point for label, point in points.items()}
        return {label: self.lines.get(label, point) for label, point in own.items()}

    @functools.cached_property
    def variants(self) -> dict[str, Point]:
        """The variants of the method that is ablated."""
        chosen = self.study.ablations
        return {} if chosen.method is None else variants_of(chosen, chosen.method, self.lines[chosen.method])

    @functools.cached_property
    def methods(self) -> dict[str, Point]:
        """Every method as it is run, lines before points."""
        return self.lines | self.points | self.lattice | self.variants

    @functools.cached_property
    def known(self) -> dict[str, str | None]:
        """By the label of a model, the known model that it is; None if it is none."""
        return {label: known_at_planning(model) for label, model in self.study.models.items()}

    @functools.cached_property
    def origins(self) -> dict[str, dict[str, str]]:
        """By model and line, who chose its settings; not of methods without any."""
        return {
            model: {
                label: self._origin(line, known)
                for label, line in self.lines.items()
                if settings_class(line.method).model_fields
            }
            for model, known in self.known.items()
        }

    def _origin(self, line: Point, known: str | None) -> str:
        said = origin_of(line.method, section_of(line.method, known))
        return f"{said}, but for settings of this study" if line.settings else said

    def settings(self, model: str, label: str, point: Point | None = None) -> MethodSettings:
        """All settings on a model of the method of that label, or of another ``point``."""
        point = point or self.methods[label]
        return method_settings(point.method, self.known[model], point.settings, place=f"methods.{label}.settings")

    def untuned(self, model: str, label: str) -> MethodSettings:
        """The settings of a line on a model as they were before they were tuned."""
        line = self.lines[label]
        return untuned_settings(line.method, self.known[model], line.settings, place=f"methods.{label}.settings")

    def spec(self, model: str, label: str, point: Point | None = None) -> MethodSpec:
        """What a job on a model is told of a method; of another ``point`` if one is given."""
        point = point or self.methods[label]
        return MethodSpec(
            label=label,
            method=point.method,
            settings=self.settings(model, label, point).model_dump(mode="json"),
            section=section_of(point.method, self.known[model]),
        )

    def bases_of(self, label: str) -> Bases | None:
        """What a line's edits are made of, which no model changes."""
        return self.settings(next(iter(self.study.models)), label, self.lines[label]).bases()

    def is_line(self, label: str, point: Point) -> bool:
        """Whether a point has what its line has anyway, for every model."""
        line = line_of(label)
        return all(
            self.settings(model, label, point) == self.settings(model, line, self.lines[line])
            for model in self.study.models
        )
