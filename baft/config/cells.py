"""What one job is told: everything that influences its result and nothing else, as JSON on its command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from pydantic import Field, ValidationError

from baft.config.messages import sentence
from baft.config.sections import CovariancesConfig, EvaluationConfig, Listed, ModelConfig, ProtocolConfig, Section
from baft.errors import UserError

S = TypeVar("S", bound=Section)


class MethodSpec(Section):
    """A method with all its settings, per-model overrides included; ``label`` is its name in paths and figures."""

    label: str = Field(description="Name of this line of the comparison.")
    method: str = Field(description="Name of a method in baft/methods, or the path of a file.")
    settings: dict[str, Any] = Field(description="All its settings.")
    section: str | None = Field(
        None, description="Known model whose own settings are among them; null if the method has none for this model."
    )


class Cell(Section):
    """One model x method x protocol x benchmark x seed."""

    model_label: str = Field(description="Label of the model in the config.")
    model: ModelConfig = Field(description="The model.")
    method: MethodSpec = Field(description="The method and its settings.")
    protocol_label: str = Field(description="Label of the protocol.")
    protocol: ProtocolConfig = Field(description="How records become streams.")
    benchmark: str = Field(description="Label of the benchmark.")
    seed: int = Field(description="Seed of the method's random numbers.")
    evaluation: EvaluationConfig = Field(description="How the edited model is questioned.")
    covariances: CovariancesConfig | None = Field(
        None, description="The text of the covariances, if the method needs any."
    )

    def spec(self) -> str:
        """Compact JSON, without what changes no result: the resources of the model's jobs, the protocol's other cells."""
        return self.model_dump_json(exclude={"model": {"resources"}, "protocol": {"benchmarks"}})

    @classmethod
    def from_spec(cls, spec: str) -> Self:
        """The inverse of :meth:`spec`."""
        return read_spec(cls, spec)


class RunMethod(MethodSpec):
    """A method as the report lists it: on one model, with what of its settings the study itself gives."""

    model: str = Field(description="Label of the model in the config.")
    given: dict[str, Any] = Field({}, description="Settings that the study gives.")


class TuningSpec(Section):
    """The search for the best settings of one method on one model."""

    model_label: str = Field(description="Label of the model in the config.")
    model: ModelConfig = Field(description="The model.")
    method: MethodSpec = Field(description="The method, with the settings that the search starts with.")
    fixed: Listed[str] = Field((), description="Settings that the study gives, which are not searched.")
    cells: Listed[tuple[str, str]] = Field(description="Labels of a protocol and a benchmark each.")
    protocols: dict[str, ProtocolConfig] = Field(description="How records become streams, by label.")
    trials: int = Field(description="Trials.")
    records: int = Field(description="Records of each benchmark, from the first.")
    probes: int | None = Field(description="Probes of each group that a record is asked at most; None for all.")
    seed: int = Field(description="Seed of the search and of the method's random numbers.")
    evaluation: EvaluationConfig = Field(description="How the edited model is questioned.")
    covariances: CovariancesConfig | None = Field(None, description="The text of the covariances, if any are needed.")

    def spec(self) -> str:
        """Compact JSON, without what changes no result."""
        return self.model_dump_json(exclude={"model": {"resources"}, "protocols": {"__all__": {"benchmarks"}}})


class AnalysisSpec(Section):
    """The edits of one model on one benchmark that are looked into."""

    model_label: str = Field(description="Label of the model in the config.")
    model: ModelConfig = Field(description="The model.")
    methods: Listed[MethodSpec] = Field(description="The methods, one of a kind, with rank and layer as wanted.")
    seed: int = Field(description="Seed of the methods' random numbers.")
    records: int = Field(description="Records, from the first.")


def model_spec(model: ModelConfig) -> str:
    """Compact JSON of a model, without the resources of its jobs."""
    return model.model_dump_json(exclude={"resources"})


def model_source(model: ModelConfig) -> str:
    """Compact JSON of where a model comes from: nothing else decides what is prepared of it."""
    return model.model_dump_json(include={"source", "name", "hub_id", "revision", "allow_unpinned", "path"})


def model_numbers(model: ModelConfig) -> str:
    """Compact JSON of what decides a model's numbers: without what only shares out its work."""
    return model.model_dump_json(exclude={"resources", "streams", "token_budget"})


def checked(section: type[S], keys: Mapping[str, Any], place: str = "") -> S:
    """A section from its keys; :class:`~baft.errors.UserError` if one is wrong, with the ``place`` where they are."""
    try:
        return section.model_validate(keys)
    except ValidationError as error:
        raise UserError(sentence(error, section, place)) from None


def read_spec(section: type[S], spec: str) -> S:
    """A section from the JSON on a command line; :class:`~baft.errors.UserError` if it is none."""
    try:
        return section.model_validate_json(spec)
    except ValidationError as error:
        raise UserError(sentence(error, section)) from None
