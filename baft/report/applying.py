"""Taking over the settings that a search found: the model's section in the method's file in config/methods."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from baft.config import Plan, TuningSpec, at, read_spec
from baft.config.method_files import in_file
from baft.config.methods import FOLDER, TUNED, untuned_section, untuned_settings
from baft.errors import UserError
from baft.files import write_text
from baft.results.store import read_provenance, read_table
from baft.results.tuning import best_of

_HASH = 12


def apply(plan: Plan, labels: Sequence[str], folder: Path | None = None) -> Iterator[str]:
    """Writes what the tuning of a study has found for its methods, or those of these ``labels``; a line for each.

    Raises :class:`~baft.errors.UserError`, before it writes anything, if the study tunes none of them, a search has not
    finished, a model is not known, or two labels of a method were tuned.
    """
    found = [_chosen(plan, model, label) for model, label in _jobs(plan, labels)]
    _refuse_two(found)
    for method, known, section, said in found:
        path = (folder or FOLDER) / f"{method}.yaml"
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        write_text(path, with_section(text, known, section))
        yield f"{path}: {known}: {said}"


def _jobs(plan: Plan, labels: Sequence[str]) -> list[tuple[str, str]]:
    tuned = plan.searches.methods
    unknown = next((label for label in labels if label not in tuned), None)
    if unknown is not None or not tuned:
        what = f"does not tune {unknown!r}" if unknown is not None else "tunes no method"
        raise UserError(f"The study {plan.study.study} {what}; it tunes {', '.join(tuned) or 'none at all'}.")
    return [(model, label) for model, label in plan.searches.jobs() if not labels or label in labels]


def _chosen(plan: Plan, model: str, label: str) -> tuple[str, str, dict[str, Any], str]:
    """The method, the known model, its new section, and what is said of it."""
    spec = read_spec(TuningSpec, plan.searches.spec(model, label))
    method, known = spec.method.method, plan.lineup.known[model]
    if in_file(method) or known is None:
        what = (
            f"{method} is a file of yours: put them into your study's config"
            if in_file(method)
            else f"{model} is not in config/known_models.yaml: add it first"
        )
        raise UserError(f"The settings of {label} for {model} cannot be taken over, for {what}.")
    path = at(plan.layout.tuning, model=model, method=label)
    if not path.is_file():
        raise UserError(f"The tuning of {label} on {model} has not finished ({path} is missing): run the study first.")
    about, best = read_provenance(path), best_of(read_table([path]).to_pylist())
    if about["config"]["trials"] != spec.trials:
        raise UserError(f"{path} has {about['config']['trials']} trials, not {spec.trials}: run the study again.")
    if best is None:
        raise UserError(f"Every trial of {label} on {model} failed: there is nothing to take over.")
    start = untuned_settings(method, known)
    before = untuned_section(method, known)
    given = {name: spec.method.settings[name] for name in spec.fixed}
    section = {**before, **given, **json.loads(best["searched"])}
    own = json.loads(start.model_dump_json())
    section = {name: value for name, value in section.items() if name in before or value != own[name]}
    said = ", ".join(f"{name} {value}" for name, value in section.items()) or "the defaults"
    section[TUNED] = {
        "study": plan.study.study,
        "trials": spec.trials,
        "benchmarks": list(dict.fromkeys(benchmark for _, benchmark in spec.cells)),
        "records": spec.records,
        **({} if spec.probes is None else {"probes": spec.probes}),
        "hash": about["digest"][:_HASH],
        "before": dict(before),
    }
    return method, known, section, f"trial {best['trial']} of {spec.trials}, {said}"


def _refuse_two(found: Sequence[tuple[str, str, dict[str, Any], str]]) -> None:
    keys = [(method, known) for method, known, _, _ in found]
    for method, known in keys:
        if keys.count((method, known)) > 1:
            raise UserError(f"{method} was tuned more than once for {known}: choose one with --method.")


class _Whole(yaml.SafeDumper):
    """Writes what is there twice twice, without anchors and aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def with_section(text: str, name: str, section: Mapping[str, Any]) -> str:
    """The text of a YAML file with the top-level section ``name`` replaced or added; all else stays, comments too."""
    body = yaml.dump(
        dict(section), Dumper=_Whole, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True
    )
    new = f"{name}:\n" + "".join(f"  {line}\n" for line in body.splitlines())
    # Up to the next line that begins another key, or a comment before one.
    old = re.compile(rf"^{re.escape(name)}:.*\n?(?:[ \t}}\]].*\n?|\n)*", re.MULTILINE)
    if old.search(text):
        return old.sub(lambda _: new, text, count=1)
    return (text if not text or text.endswith("\n") else f"{text}\n") + new
