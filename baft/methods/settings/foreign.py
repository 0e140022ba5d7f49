"""The settings of an editor that somebody else has written."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from baft.methods.settings import SCIENTIFIC, MethodSettings


class Settings(MethodSettings):
    """The editor and what it is told; docs/refereeing-your-editor.md."""

    title = "Other editor"
    family = "others"

    editor: str = Field(description="Path of the Python file that holds the editor.")
    function: str = Field("edit", description="The editor's name in it.")
    arguments: dict[str, Any] = Field({}, description="What else the editor is told, by name.")
    trained: int | None = Field(
        None, ge=0, description="Numbers that it trains for one edit; null: as many as it adds or changes."
    )

    def files(self) -> tuple[str, ...]:
        return (self.editor,)

    @field_validator("editor")
    @classmethod
    def _is_there(cls, value: str) -> str:
        if not Path(value).is_file():
            raise ValueError(f"it is {value!r}, but must be a file that exists (looked for {Path(value).absolute()})")
        return value

    @field_validator("arguments")
    @classmethod
    def _numbers(cls, value: dict[str, Any]) -> dict[str, Any]:
        return {name: _number(argument) for name, argument in value.items()}

    @model_validator(mode="after")
    def _has_the_function(self) -> Self:
        names = _names(Path(self.editor))
        if names is not None and self.function not in names:
            there = ", ".join(sorted(names)) or "none"
            raise ValueError(f"{self.editor} has no function '{self.function}' (its functions are: {there})")
        return self

    @classmethod
    def tiny(cls) -> Self:
        return cls(editor=str(Path(__file__).with_name("_sample_editor.py")), arguments={"steps": 3})


def _number(argument: Any) -> Any:
    if isinstance(argument, list):
        return [_number(one) for one in argument]
    if isinstance(argument, dict):
        return {key: _number(one) for key, one in argument.items()}
    if isinstance(argument, str) and SCIENTIFIC.fullmatch(argument):
        return float(argument)
    return argument


def _names(path: Path) -> set[str] | None:
    """The functions of a file that is not imported, for that may take long; None where that can't be told."""
    try:
        body = ast.parse(path.read_bytes()).body
    except (SyntaxError, ValueError):
        return None
    if not all(
        isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Expr | ast.Import | ast.ImportFrom) for node in body
    ):
        # Assigned, or defined under a condition.
        return None
    imported = [alias.asname or alias.name for node in body if isinstance(node, ast.ImportFrom) for alias in node.names]
    return (
        None if "*" in imported else {node.name for node in body if isinstance(node, ast.FunctionDef)} | set(imported)
    )
