"""The checks of methods and settings that take more than the text of the config."""

from __future__ import annotations

from baft.config.method_files import check_method, settings_class
from baft.config.methods import method_settings, untuned_settings
from baft.config.plan.analyses import Analyses
from baft.config.plan.lineup import Lineup
from baft.config.plan.searches import Searches
from baft.config.sections import SensitivityConfig
from baft.config.sweeps import Point, lattice_of, points_of
from baft.errors import UserError


def check(lineup: Lineup, searches: Searches, analyses: Analyses) -> None:
    """Raise :class:`~baft.errors.UserError` for the first method or setting that is wrong for any model."""
    study = lineup.study
    for label, section in study.methods.items():
        line = lineup.lines[label]
        check_method(line.method, f"methods.{label}" if section.method else "methods")
        _check_point(lineup, line, f"methods.{label}.settings")
        for point in points_of({label: section}).values():
            _check_point(lineup, point, f"methods.{label}.sweep")
    if study.sensitivity.method is not None:
        _check_lattice(lineup, study.sensitivity, lineup.lines[study.sensitivity.method])
    for name, label in zip(study.ablations.variants, lineup.variants, strict=True):
        _check_variant(lineup, name, label)
    _check_tuning(searches)
    for point in analyses.points().values() if analyses.bases() else ():
        _check_point(lineup, point, "analysis")


def _check_point(lineup: Lineup, point: Point, place: str) -> None:
    for known in lineup.known.values():
        method_settings(point.method, known, point.settings, place=place)


def _check_lattice(lineup: Lineup, chosen: SensitivityConfig, line: Point) -> None:
    for setting in ("layer", "rank"):
        if setting not in settings_class(line.method).model_fields:
            raise UserError(
                f"sensitivity.method is '{chosen.method}', but must be a method with a layer and a rank; "
                f"'{line.method}' has no {setting}."
            )
    for point in lattice_of(chosen, str(chosen.method), line).values():
        _check_point(lineup, point, "sensitivity")


def _check_variant(lineup: Lineup, name: str, label: str) -> None:
    variant = lineup.variants[label]
    place = f"ablations.variants.{name}"
    _check_point(lineup, variant, place)
    if lineup.is_line(label, variant):
        raise UserError(f"{place} has the settings that '{lineup.study.ablations.method}' has anyway.")
    if (lineup.points | lineup.lattice).get(label, variant) != variant:
        raise UserError(f"{place} has the label of another point, '{label}': give it another.")


def _check_tuning(searches: Searches) -> None:
    study, lineup = searches.study, searches.lineup
    for label in study.tuning.methods:
        line = lineup.lines[label]
        if not settings_class(line.method).ranges:
            raise UserError(
                f"tuning.methods has '{label}', but '{line.method}' declares no ranges in which its settings could be "
                "searched: take it out, or give its settings `ranges` (docs/adding-a-method.md)."
            )
        if not searches.searched(label):
            raise UserError(
                f"tuning.methods has '{label}', but methods.{label}.settings gives all that could be searched: leave "
                f"some of {', '.join(settings_class(line.method).ranges)} out."
            )
    if study.tuning.trials and not searches.methods:
        raise UserError(
            "tuning.trials is given, but no method of the study declares ranges in which its settings could be searched."
        )
    for label in searches.methods:
        line = lineup.lines[label]
        for model, known in lineup.known.items():
            untuned_settings(line.method, known, line.settings, place=f"tuning, model {model}")
