"""A study: which models, benchmarks, methods, protocols and seeds are crossed, and where the files go."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from baft.config.messages import sentence, unknown
from baft.config.paths import Folder, Given
from baft.config.reading import plain
from baft.config.sections import (
    AblationsConfig,
    AnalysisConfig,
    BenchmarkConfig,
    CovariancesConfig,
    CurvesConfig,
    Distinct,
    EvaluationConfig,
    Label,
    MethodConfig,
    ModelConfig,
    ProtocolConfig,
    Section,
    SensitivityConfig,
    StatisticsConfig,
    TuningConfig,
    _empty_section,
    refuse_repeats,
)
from baft.errors import UserError

# Says where the data lie on this machine, whatever the config says.
DATA_VARIABLE = "BAFT_DATA"

# The method that edits nothing: a reference row of the tables, compared with none.
UNEDITED = "none"

# The edit of zeros, in every study unless it is switched off: what rounding alone costs, compared with none.
ZERO = "zero"


def _named(value: Any) -> Any:
    """A list of method names means each of them under its own name with its own settings."""
    if isinstance(value, list):
        wrong = next((name for name in value if not isinstance(name, str)), None)
        if wrong is not None:
            raise ValueError(f"the list holds {wrong!r}, but must hold names of methods")
        return {name: {} for name in refuse_repeats(value)}
    if not isinstance(value, dict):
        raise ValueError(f"it is {value!r}, but must be a list of names or a mapping from labels to sections")
    return _sections(value)


def _sections(value: Any) -> Any:
    return {label: _empty_section(section) for label, section in value.items()} if isinstance(value, dict) else value


def _records(value: Any) -> Any:
    """Ids of records are texts, also where YAML reads a number."""
    if isinstance(value, list):
        wrong = next((id for id in value if isinstance(id, bool) or not isinstance(id, str | int)), None)
        if wrong is not None:
            raise ValueError(f"the list holds {wrong!r}, but must hold ids of records")
        return tuple(dict.fromkeys(map(str, value)))
    if not isinstance(value, bool):
        raise ValueError(f"it is {value!r}, but must be true, false or a list of ids of records")
    return value


class Study(Section):
    """The whole config."""

    study: Label = Field("embedded", description="Name of the study, for headings.")
    results: Folder = Field("results", description="Folder of everything that the study produces.")
    cache: Folder = Field("cache", description="Folder of converted models and covariances, which studies may share.")
    data: Given = Field(
        ".",
        description="Folder that relative paths of benchmark files start from; the environment variable BAFT_DATA wins.",
    )
    threads: int = Field(1, gt=0, description="CPU threads of a job; several jobs run side by side.")
    container: str | None = Field(
        None,
        description="Image with this package installed, for --software-deployment-method apptainer; null for none.",
    )
    models: Annotated[dict[Label, ModelConfig], BeforeValidator(_sections)] = Field(
        {"smollm2-135m": ModelConfig()}, min_length=1, description="The models, by label."
    )
    benchmarks: Annotated[dict[Label, BenchmarkConfig], BeforeValidator(_sections)] = Field(
        {"mini_wiki_recent": BenchmarkConfig()}, min_length=1, description="The benchmarks, by label."
    )
    methods: Annotated[
        dict[Label, MethodConfig],
        BeforeValidator(_named, json_schema_input_type=list[Label] | dict[Label, MethodConfig | None]),
    ] = Field(
        {"none": MethodConfig(), "baft": MethodConfig()},
        min_length=1,
        description="Names of methods, or labels with a method and settings.",
    )
    zero_edit: bool = Field(
        True,
        description="Whether an edit of zeros is measured beside the methods: its distance from 100 % locality is rounding.",
    )
    protocols: Annotated[dict[Label, ProtocolConfig], BeforeValidator(_sections)] = Field(
        {"single": ProtocolConfig()}, min_length=1, description="How records become streams of edits, by label."
    )
    keep_edits: Annotated[
        bool | tuple[str, ...], BeforeValidator(_records, json_schema_input_type=bool | list[str | int])
    ] = Field(
        False,
        description="Ids of the records whose edits are kept, or true for all: they can be opened and asked.",
    )
    seeds: Distinct[Annotated[int, Field(ge=0)]] = Field(
        (0,), min_length=1, description="Seeds of the methods' random numbers; every cell is run with each."
    )
    evaluation: Annotated[EvaluationConfig, BeforeValidator(_empty_section)] = Field(
        EvaluationConfig(), description="How an edited model is questioned."
    )
    covariances: Annotated[CovariancesConfig, BeforeValidator(_empty_section)] = Field(
        CovariancesConfig(), description="Text for the key covariance of methods that need it."
    )
    analysis: Annotated[AnalysisConfig, BeforeValidator(_empty_section)] = Field(
        AnalysisConfig(), description="Edits of methods with bases that are looked into."
    )
    curves: Annotated[CurvesConfig, BeforeValidator(_empty_section)] = Field(
        CurvesConfig(), description="Swept points of methods."
    )
    sensitivity: Annotated[SensitivityConfig, BeforeValidator(_empty_section)] = Field(
        SensitivityConfig(), description="One method over layers and ranks."
    )
    ablations: Annotated[AblationsConfig, BeforeValidator(_empty_section)] = Field(
        AblationsConfig(), description="One method and variants of it."
    )
    tuning: Annotated[TuningConfig, BeforeValidator(_empty_section)] = Field(
        TuningConfig(), description="The search for the best settings of methods."
    )
    statistics: Annotated[StatisticsConfig, BeforeValidator(_empty_section)] = Field(
        StatisticsConfig(), description="Intervals of the tables and figures."
    )

    @model_validator(mode="after")
    def _chosen_benchmarks_are_there(self) -> Self:
        chosen = {f"protocols.{label}": protocol.benchmarks for label, protocol in self.protocols.items()}
        chosen |= {"analysis": self.analysis.benchmarks, "curves": self.curves.benchmarks}
        for place, names in chosen.items():
            for name in names:
                if name not in self.benchmarks:
                    known = ", ".join(self.benchmarks)
                    raise ValueError(f"{place}.benchmarks has {name!r}, but must have some of {known}")
        return self

    @model_validator(mode="after")
    def _protocols_of_methods_are_there(self) -> Self:
        for label, section in self.methods.items():
            self._refuse_unknown(f"methods.{label}.protocols", section.protocols, self.protocols)
        return self

    @model_validator(mode="after")
    def _the_edit_of_zeros_has_its_label(self) -> Self:
        section = self.methods.get(ZERO)
        if self.zero_edit and section is not None and section.method not in (None, ZERO):
            raise ValueError(
                f"methods.{ZERO} is a method of another name, but {ZERO!r} is the label of the edit of zeros: give it "
                "another, or set zero_edit to false"
            )
        return self

    @model_validator(mode="after")
    def _reference_is_run(self) -> Self:
        reference = self.statistics.reference
        if reference is not None and reference not in self.methods:
            raise ValueError(
                f"statistics.reference is {reference!r}, but must be one of the methods: {', '.join(self.methods)}"
            )
        return self

    @model_validator(mode="after")
    def _variations_are_of_what_is_run(self) -> Self:
        sensitivity, ablations = self.sensitivity, self.ablations
        mapped = (sensitivity.protocol or next(iter(self.protocols)),)
        self._refuse_unknown("sensitivity.method", (sensitivity.method,), self.methods)
        self._refuse_unknown("sensitivity.protocol", mapped, self.protocols)
        self._refuse_unknown("ablations.method", (ablations.method,), self.methods)
        self._refuse_unknown("ablations.protocols", ablations.protocols, self.protocols)
        self._refuse_limited("sensitivity.protocol", mapped, sensitivity.method)
        self._refuse_limited("ablations.protocols", ablations.protocols, ablations.method)
        self._refuse_not_run("sensitivity.benchmarks", sensitivity.benchmarks, mapped)
        self._refuse_not_run("ablations.benchmarks", ablations.benchmarks, ablations.protocols or tuple(self.protocols))
        self._refuse_idle("ablations", ablations.protocols, ablations.benchmarks)
        return self

    @model_validator(mode="after")
    def _tuning_is_of_what_is_there(self) -> Self:
        tuning = self.tuning
        self._refuse_unknown("tuning.methods", tuning.methods, self.methods)
        self._refuse_unknown("tuning.protocols", tuning.protocols, self.protocols)
        self._refuse_unknown("tuning.benchmarks", tuning.benchmarks, self.benchmarks)
        self._refuse_not_run("tuning.benchmarks", tuning.benchmarks, self._tuned_protocols)
        self._refuse_idle("tuning", tuning.protocols, tuning.benchmarks)
        for label in self.tuned_benchmarks:
            if self.benchmarks[label].split != "tune":
                raise ValueError(
                    f"tuning.benchmarks has {label!r}, whose split is 'test': nothing is chosen on test data, so name "
                    "benchmarks of the split 'tune'"
                )
        return self

    def _refuse_unknown(self, key: str, labels: Sequence[str | None], known: Iterable[str]) -> None:
        for label in labels:
            if label is not None and label not in known:
                raise ValueError(f"{key} is {label!r}, but must be one of {', '.join(known)}")

    def _refuse_limited(self, key: str, protocols: Sequence[str], method: str | None) -> None:
        limit = self.methods[method].protocols if method is not None else ()
        for label in protocols:
            if limit and label not in limit:
                raise ValueError(f"{key} is {label!r}, but methods.{method}.protocols has {', '.join(limit)} only")

    def _refuse_not_run(self, key: str, benchmarks: Sequence[str], protocols: Sequence[str]) -> None:
        run = {name for label in protocols for name in self.protocols[label].benchmarks or self.benchmarks}
        for name in benchmarks:
            if name not in run:
                there = ", ".join(label for label in self.benchmarks if label in run)
                raise ValueError(f"{key} has {name!r}, but {' and '.join(protocols)} editing is run on {there} only")

    def _refuse_idle(self, section: str, protocols: Sequence[str], benchmarks: Sequence[str]) -> None:
        """A protocol that is named and that none of the benchmarks is left for would be left out without a word."""
        for label in protocols:
            there = self.protocols[label].benchmarks or tuple(self.benchmarks)
            if benchmarks and not set(there) & set(benchmarks):
                raise ValueError(
                    f"{section}.protocols has {label!r}, which is run on {', '.join(there)} only, and {section}.benchmarks "
                    "has none of these: name one of them, or leave the protocol out"
                )

    @property
    def tuned_benchmarks(self) -> tuple[Label, ...]:
        """What settings are chosen on, in the order of the config; nothing without tuning."""
        run = {name for label in self._tuned_protocols for name in self.protocols[label].benchmarks or self.benchmarks}
        chosen = self.tuning.benchmarks or self.benchmarks
        return tuple(label for label in self.benchmarks if self.tuning.trials and label in run and label in chosen)

    @property
    def _tuned_protocols(self) -> tuple[Label, ...]:
        return self.tuning.protocols or (next(iter(self.protocols)),)

    def located(self, path: str) -> str:
        """Where a benchmark's file lies: an absolute path is its own, another starts from the folder of the data."""
        return str(Path(self._data) / path)

    @property
    def _data(self) -> str:
        return os.path.expanduser(os.environ.get(DATA_VARIABLE) or self.data)

    @property
    def lines(self) -> dict[Label, MethodConfig]:
        """The methods that are run: those of the config and the edit of zeros, after the unedited model."""
        methods = dict(self.methods)
        if not self.zero_edit or ZERO in (section.method or label for label, section in methods.items()):
            return methods
        first = {label: methods.pop(label) for label in (UNEDITED,) if label in methods}
        return {**first, ZERO: MethodConfig(), **methods}

    @property
    def reference(self) -> str | None:
        """The method that others are compared with; None if the unedited model is all there is."""
        edits = (label for label, section in self.methods.items() if (section.method or label) not in (UNEDITED, ZERO))
        return self.statistics.reference or next(edits, None)


def parse_study(config: Mapping[str, Any]) -> Study:
    """Check a config and fill its defaults.

    Raises :class:`~baft.errors.UserError` with one sentence on the first key that is wrong, typing errors before the
    rest, since a mistyped key often is also a missing one.
    """
    try:
        # Through JSON: what YAML reads as a list may be a tuple here, and nothing else is converted.
        return Study.model_validate_json(json.dumps(plain(config)))
    except ValidationError as error:
        raise UserError(sentence(error, Study)) from None


def check_sources(study: Study) -> None:
    """Raise :class:`~baft.errors.UserError` for the first file, format or embedded benchmark that does not exist."""
    from baft.benchmarks.embedded import EMBEDDED
    from baft.benchmarks.formats import FORMATS

    formats = ["auto", *(known.name for known in FORMATS)]
    for label, model in study.models.items():
        if model.source == "folder":
            _must_exist(f"models.{label}.path", model.path, folder=True)
    for label, benchmark in study.benchmarks.items():
        name = benchmark.name or label
        if benchmark.source == "embedded" and name not in EMBEDDED:
            raise UserError(unknown("embedded benchmark", name, EMBEDDED, place=f"benchmarks.{label}"))
        if benchmark.format not in formats:
            raise UserError(unknown("format", benchmark.format, formats, place=f"benchmarks.{label}.format"))
        if benchmark.source == "file":
            _check_file(study, f"benchmarks.{label}.path", benchmark.path or "")
    if study.covariances.source == "file":
        _must_exist("covariances.path", study.covariances.path, folder=None)


def _check_file(study: Study, key: str, path: str) -> None:
    found = Path(study.located(path))
    if found.is_file():
        return
    hint = "" if Path(path).is_absolute() else f"; `data` or {DATA_VARIABLE} names the folder that it starts from"
    raise UserError(f"{key} is {path!r}, but must be a file that exists (looked for {found.absolute()}){hint}.")


def _must_exist(key: str, path: str | None, folder: bool | None) -> None:
    """``folder``: True or False for what it must be, None where either will do."""
    found = Path(path or "")
    kind = {True: "a folder", False: "a file", None: "a file or folder"}[folder]
    if not found.exists() or (folder is not None and found.is_dir() != folder):
        raise UserError(f"{key} is {path!r}, but must be {kind} that exists (looked for {found.absolute()}).")
