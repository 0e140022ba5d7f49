"""The sections of a study's config, each key with its description and default.

These classes are the one statement of the config: the JSON schema and the messages a user sees come from them. They
import neither torch nor pandas, for the Snakefile is parsed again by every job.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
    field_validator,
    model_validator,
)

from baft.config.paths import Given

PINNED = re.compile(r"[0-9a-f]{40}")

# Labels become directory names of the hive-partitioned results, so nothing that a path or a partition gives meaning to.
Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=60)]
_WORD = re.compile(r"[A-Za-z0-9._-]+")

T = TypeVar("T")
# YAML has lists only; what is read is not to be changed.
Listed: TypeAlias = Annotated[tuple[T, ...], Strict(False)]


def refuse_repeats(values: Sequence[T], place: str = "the list") -> Sequence[T]:
    """``values``, of which none may be there twice. Raises ValueError naming the first that is."""
    repeated = next((value for value in values if values.count(value) > 1), None)
    if repeated is not None:
        raise ValueError(f"{repeated!r} is in {place} twice")
    return values


Distinct: TypeAlias = Annotated[tuple[T, ...], Strict(False), AfterValidator(refuse_repeats)]


def _labelling(value: Any) -> Any:
    """A swept value becomes part of a label."""
    if isinstance(value, (bool, int, float)) or (isinstance(value, str) and _WORD.fullmatch(value)):
        return value
    raise ValueError(f"it is {value!r}, but must be a number, a word, or true or false")


Swept: TypeAlias = Annotated[Listed[Annotated[Any, AfterValidator(_labelling)]], Field(min_length=1)]


def _empty_section(value: Any) -> Any:
    """A YAML key with nothing after its colon is a section left at its defaults."""
    return {} if value is None else value


def _iso_date(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise ValueError(f"it is {value!r}, but must be a date such as 2024-07-26") from None


TEMPLATE_DATE = "2024-07-26"
"""The day that Llama 3's own template takes where it is told none."""


class Section(BaseModel):
    """A part of the config: immutable, no key beyond those declared, no silent conversion between types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


class ResourcesConfig(Section):
    """What the first attempt at a job of a model asks of a cluster; later ones ask for more memory and time."""

    mem_mb: int = Field(4000, gt=0, description="Main memory of a job, in MB.")
    runtime: int = Field(120, gt=0, description="Time limit of a job, in minutes.")
    gpu: int = Field(0, ge=0, description="GPUs of a job.")


class ModulesConfig(Section):
    """Module names of an architecture that the built-in table lacks."""

    blocks: str | None = Field(None, description="Path of the list of transformer blocks, such as 'model.layers'.")
    mlp_down: str | None = Field(None, description="Last linear layer of the MLP, relative to a block.")
    attention: Listed[str] | None = Field(
        None, description="Query and value projections, or the fused one, relative to a block."
    )
    bos: bool | None = Field(None, description="Whether every prompt needs the beginning-of-text token.")


class ModelConfig(Section):
    """A language model: where it comes from and how it is run."""

    source: Literal["embedded", "hub", "folder"] = Field(
        "embedded",
        description="'embedded': the model that installs as a package; 'hub': downloaded by hub_id and revision; "
        "'folder': a local folder in the hub's layout.",
    )
    name: Literal["smollm2-135m"] = Field("smollm2-135m", description="Which embedded model (source: embedded).")
    hub_id: str | None = Field(None, description="Hub id, such as 'org/name' (source: hub).")
    revision: str | None = Field(None, description="Commit of the hub repository, 40 hex digits (source: hub).")
    allow_unpinned: bool = Field(
        False, description="Accept a branch or tag as revision; the commit it resolves to is then recorded."
    )
    path: Given | None = Field(None, description="Local folder of the model (source: folder).")
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="Number format the model runs in.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="'auto' takes a GPU where there is one.")
    device_map: Literal["auto", "balanced", "sequential"] | None = Field(
        None,
        description="How transformers spreads a model that is too big for one GPU over several; on one unless given.",
    )
    prompt_format: Literal["plain", "chat"] = Field(
        "plain", description="Prompts as written, or inside the model's chat template; the same everywhere in a run."
    )
    template_date: Annotated[str, AfterValidator(_iso_date)] = Field(
        TEMPLATE_DATE, description="Day that a chat template is told when it asks for the date of today."
    )
    attention: Literal["eager", "sdpa", "flash_attention_2"] | None = Field(
        None, description="Which of transformers' implementations of attention is used; its own choice unless given."
    )
    token_budget: int = Field(
        2048, gt=0, description="Tokens, padding included, in one forward pass; halved when memory runs out."
    )
    streams: int = Field(
        8,
        gt=0,
        description="Edited models side by side at most: streams that are edited, steps of them that are scored together; "
        "a line of progress for each so many edits.",
    )
    trust_remote_code: bool = Field(False, description="Let the model's repository run its own Python code.")
    modules: Annotated[ModulesConfig, BeforeValidator(_empty_section)] = Field(
        ModulesConfig(), description="Module names, only for an architecture that the built-in table lacks."
    )
    resources: Annotated[ResourcesConfig, BeforeValidator(_empty_section)] = Field(
        ResourcesConfig(), description="What each job of this model asks of a cluster."
    )

    @model_validator(mode="after")
    def _source_is_complete(self) -> Self:
        needed = {"embedded": (), "hub": ("hub_id", "revision"), "folder": ("path",)}
        _hold_to_source(self, needed, {"hub": ("allow_unpinned",)})
        if self.device_map is not None and self.device != "auto":
            raise ValueError(
                f"device_map spreads the model over GPUs, and device is {self.device!r}: leave one of them out"
            )
        if self.source == "hub" and not self.allow_unpinned and not PINNED.fullmatch(self.revision or ""):
            raise ValueError(
                f"revision is {self.revision!r}, but must be a commit of 40 hex digits (or set allow_unpinned: true)"
            )
        return self


class BenchmarkConfig(Section):
    """A benchmark: where its records come from and how many of them are used."""

    source: Literal["embedded", "file", "hub"] = Field(
        "embedded",
        description="'embedded': one of the project's own; 'file': a local file; 'hub': a file of a hub data set.",
    )
    name: str | None = Field(None, description="Which embedded benchmark; the section's label unless given.")
    path: Given | None = Field(None, description="Local file (source: file).")
    format: str = Field("auto", description="Format of the file; 'auto' recognises it from the content.")
    split: Literal["tune", "test"] = Field(
        "tune", description="What the records may be used for; test splits are for the final word only."
    )
    hub_id: str | None = Field(None, description="Hub id of the data set (source: hub).")
    filename: str | None = Field(None, description="File inside the data set (source: hub).")
    revision: str = Field("main", description="Commit of the data set (source: hub); a branch only with sha256.")
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="SHA-256 that the file must have (source: file or hub)."
    )
    skip: int = Field(0, ge=0, description="Leave out the first so many records of the file.")
    limit: int | None = Field(
        None, gt=0, description="Use only the first so many records, of those after `skip`; null for all."
    )
    shards: int = Field(1, gt=0, description="Jobs that one cell's records are dealt to.")

    @model_validator(mode="after")
    def _source_is_complete(self) -> Self:
        read = ("format", "sha256")
        _hold_to_source(
            self,
            {"embedded": (), "file": ("path",), "hub": ("hub_id", "filename")},
            {"embedded": ("name",), "file": read, "hub": ("revision", *read)},
        )
        if self.source == "hub" and self.sha256 is None and not PINNED.fullmatch(self.revision):
            raise ValueError(
                f"revision is {self.revision!r}, but must be a commit of 40 hex digits (or give sha256, "
                "which pins the file)"
            )
        return self


class MethodConfig(Section):
    """One line of the comparison: a method with settings of its own."""

    method: str | None = Field(
        None, description="Name of a method, or path of a file that holds one; the label unless given."
    )
    settings: Annotated[dict[str, Any], BeforeValidator(_empty_section)] = Field(
        {}, description="Settings that differ from the method's own."
    )
    sweep: Annotated[dict[str, Swept], BeforeValidator(_empty_section)] = Field(
        {}, description="One setting with the further values at which the method is run, for the trade-off curve."
    )
    protocols: Listed[Label] = Field((), description="Only these protocols; all of them unless given.")

    @field_validator("sweep")
    @classmethod
    def _one_setting_at_a_time(cls, sweep: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        if len(sweep) > 1:
            raise ValueError(
                f"it has {' and '.join(sweep)}, but must have one setting; sweep another under a new label"
            )
        for setting, values in sweep.items():
            refuse_repeats(values, f"the list of {setting}")
        return sweep


class ProtocolConfig(Section):
    """How records become streams: ``length`` steps one after another, each editing ``size`` records together."""

    size: int = Field(1, gt=0, description="Records edited together in one step of a stream.")
    length: int = Field(1, gt=0, description="Steps of a stream, each going on from the last.")
    at: Listed[Annotated[int, Field(gt=0)]] = Field(
        (), description="Numbers of edits after which a stream is also scored on its way."
    )
    benchmarks: Listed[Label] = Field((), description="Only these benchmarks; all of them unless given.")

    @model_validator(mode="after")
    def _steps_end_there(self) -> Self:
        for edits in self.at:
            if edits % self.size or edits > self.size * self.length:
                raise ValueError(
                    f"at has {edits}, but must have multiples of size {self.size}, at most {self.size * self.length}"
                )
        return self


class EvaluationConfig(Section):
    """How an edited model is questioned."""

    max_new_tokens: int = Field(
        12, gt=0, description="Most tokens of a decoded answer, unless the accepted ones are longer."
    )
    stop: Listed[Annotated[str, Field(min_length=1)]] = Field(("\n",), description="Strings that end a decoded answer.")
    fluency_tokens: int = Field(
        100, ge=0, description="Tokens sampled for each generation prompt (CounterFact has them); 0: none."
    )
    drift_tokens: int = Field(
        24, ge=0, description="Tokens of general text that each edited model reads for its perplexity; 0: none."
    )


class CovariancesConfig(Section):
    """The text whose keys give ROME's second moment."""

    source: Literal["embedded", "file", "hub"] = Field(
        "embedded",
        description="'embedded': leads of Wikipedia articles; 'file': path; 'hub': a file of a hub data set.",
    )
    path: Given | None = Field(None, description="A text file, or a folder of them (source: file).")
    hub_id: str | None = Field(None, description="Hub id of the data set (source: hub).")
    filename: str | None = Field(None, description="File inside the data set (source: hub).")
    revision: str | None = Field(None, description="Commit of the data set, 40 hex digits (source: hub).")
    tokens: int | None = Field(
        None, gt=0, description="Tokens of the text to use; null for ten times the dimensions of a key."
    )

    @model_validator(mode="after")
    def _source_is_complete(self) -> Self:
        _hold_to_source(self, {"embedded": (), "file": ("path",), "hub": ("hub_id", "filename", "revision")})
        if self.source == "hub" and not PINNED.fullmatch(self.revision or ""):
            raise ValueError(f"revision is {self.revision!r}, but must be a commit of 40 hex digits")
        return self

    def files(self) -> list[str]:
        """The local files that the text is read from, if it is, in the order in which they are read."""
        if self.source != "file" or not self.path:
            return []
        path = Path(self.path)
        return [str(file) for file in sorted(path.rglob("*.txt"))] if path.is_dir() else [self.path]


class AnalysisConfig(Section):
    """The edits of methods with bases that are looked into, on the first records of each benchmark."""

    records: int = Field(8, ge=0, description="Records of each benchmark; 0 leaves the analysis out.")
    benchmarks: Listed[Label] = Field((), description="Only these benchmarks; all of them unless given.")
    rank: int = Field(12, ge=1, description="Rank of the edits.")
    layer: int | float | None = Field(
        None, ge=0, description="Block that is edited, or a share of the depth; null for the methods' own."
    )
    picture: str | None = Field(
        None, description="Id of the record whose edit is drawn; null for the first of the first benchmark."
    )


class CurvesConfig(Section):
    """Where the swept points of methods are run, each of which costs as much as a method."""

    benchmarks: Listed[Label] = Field((), description="Only these benchmarks; all of them unless given.")


class SensitivityConfig(Section):
    """One method at every pair of some layers and ranks, for a map of success and locality over both."""

    method: Label | None = Field(
        None, description="Label of a method of the study, one with a layer and a rank; null for no map."
    )
    layer: Distinct[Annotated[int | float, Field(ge=0)]] = Field(
        (), description="Layers; a float is a share of the depth."
    )
    rank: Distinct[Annotated[int, Field(ge=1)]] = Field((), description="Ranks.")
    protocol: Label | None = Field(None, description="Label of a protocol; null for the first.")
    benchmarks: Listed[Label] = Field((), description="Only these benchmarks; all of them unless given.")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        given = {"method": self.method is not None, "layer": bool(self.layer), "rank": bool(self.rank)}
        if any(given.values()) and not all(given.values()):
            missing = next(key for key, there in given.items() if not there)
            raise ValueError(f"a map over layer and rank needs the key {missing}")
        return self


class AblationsConfig(Section):
    """One method and variants of it with other settings, for a table of what its parts are worth."""

    method: Label | None = Field(None, description="Label of a method of the study; null for no ablations.")
    variants: dict[Label, Annotated[dict[str, Any], Field(min_length=1)]] = Field(
        {}, description="By label, the settings in which a variant differs from the method."
    )
    protocols: Listed[Label] = Field((), description="Only these protocols; all of them unless given.")
    benchmarks: Listed[Label] = Field((), description="Only these benchmarks; all of them unless given.")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if (self.method is None) != (not self.variants):
            missing = "method" if self.method is None else "variants"
            raise ValueError(f"ablations need the key {missing}")
        return self


class TuningConfig(Section):
    """The search for the best settings of methods: as many trials for each, on the same records (docs/tuning.md)."""

    trials: int = Field(0, ge=0, description="Trials of each method, the first with its settings as they are; 0: none.")
    methods: Distinct[Label] = Field(
        (), description="Labels of methods of the study; all that can be tuned unless given."
    )
    benchmarks: Distinct[Label] = Field((), description="Only these benchmarks; all of them unless given.")
    records: int = Field(50, gt=0, description="Records of each benchmark, from the first.")
    probes: int | None = Field(
        None, gt=0, description="Probes of each group that a record is asked at most, the first ones; null for all."
    )
    protocols: Distinct[Label] = Field((), description="Labels of protocols; the first unless given.")
    seed: int = Field(0, ge=0, description="Seed of the search, and of the methods' random numbers in it.")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        own = type(self).model_fields.items()
        if not self.trials and any(getattr(self, name) != field.default for name, field in own):
            raise ValueError("tuning needs the key trials")
        return self


class StatisticsConfig(Section):
    """Intervals and tests of the tables and figures."""

    level: float = Field(0.95, gt=0, lt=1, description="Level of the intervals.")
    reference: Label | None = Field(
        None, description="Label of the method that the others are compared with; null for the first that edits."
    )


def _hold_to_source(
    section: ModelConfig | BenchmarkConfig | CovariancesConfig,
    needed: Mapping[str, Sequence[str]],
    optional: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> None:
    """Refuse a section without a key that its source needs, or with one that only other sources read.

    ``needed`` and ``optional`` are the keys of each source. Without the second part a forgotten ``source`` would run the
    default one under the name of what was meant.
    """
    keys = {source: (*own, *optional.get(source, ())) for source, own in needed.items()}
    if missing := [key for key in needed[section.source] if getattr(section, key) is None]:
        raise ValueError(f"source: {section.source} needs the key {' and '.join(missing)}")
    for key in dict.fromkeys(key for own in keys.values() for key in own):
        if key not in keys[section.source] and getattr(section, key) != type(section).model_fields[key].default:
            readers = " or ".join(source for source, own in keys.items() if key in own)
            raise ValueError(f"{key} is for source: {readers}, and source is {section.source}")
