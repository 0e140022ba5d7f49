"""The settings of in-context editing."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator

from baft.methods.settings import Between, Depth, Layer, MethodSettings


class Settings(MethodSettings):
    """What is put before a question, and when."""

    title = "In context"
    family = "context"
    ranges: ClassVar = {
        "layer": Depth(0.0, 0.6),
        "similarity": Between(0.3, 0.9),
    }

    choose: Literal["oracle", "nearest"] = Field(
        "nearest",
        description="oracle: a question about an edit gets that edit's fact, as the benchmark tells, and no other question "
        "gets any: the ceiling. nearest: the stream's fact whose prompt is most like the question, if it is like enough.",
    )
    template: str = Field(
        "In this story, {fact}. Remember, {fact}. Once more, ",
        description="What is put before the prompt; {fact} is prompt and target.",
    )
    layer: Layer = Field(0.15, description="Block whose output tells how alike prompts are; a float is a share.")
    similarity: float = Field(
        0.6,
        ge=-1,
        le=1,
        description="Least cosine of a question with a fact's prompt, both less the mean of unrelated prompts, for the fact "
        "to be put before it.",
    )

    @field_validator("template")
    @classmethod
    def _has_a_place(cls, template: str) -> str:
        if "{fact}" not in template:
            raise ValueError(f"it is {template!r}, but must have {{fact}} in it")
        return template

    @classmethod
    def tiny(cls) -> Self:
        return cls(layer=1)
