"""The settings of methods that train on prompts which an edit should leave alone."""

from __future__ import annotations

from pydantic import Field

from baft.methods.settings import MethodSettings


class IrrelevantSettings(MethodSettings):
    """How many irrelevant prompts go with each edit."""

    general: int = Field(55, ge=0, description="Unrelated prompts, the same for all edits.")
    relations: int = Field(16, ge=0, description="Prompts on other relations of the edit's subject.")
    subjects: int = Field(4, ge=0, description="Copies of the rewrite prompt about other subjects.")
