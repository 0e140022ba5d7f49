"""A method in a user's own file, as far as planning looks at it."""

from __future__ import annotations

import textwrap
from pathlib import Path

SETTINGS = '''
from pydantic import Field

from baft.methods.settings import Layer, MethodSettings, Needs


class Settings(MethodSettings):
    """Settings of the toy."""

    lr: float = Field(0.1, gt=0, description="Rate.")
    covariance: bool = Field(False, description="Whether it needs one.")
    layer: Layer = Field(3, description="Block.")

    def needs(self):
        return Needs((self.layer,)) if self.covariance else Needs()
'''


def write_toy(folder: Path, settings: str | None = SETTINGS, name: str = "toy", method: str = "") -> str:
    """The path of a method in ``folder``, with a file of ``settings`` unless there are to be none."""
    path = folder / f"{name}.py"
    path.write_text(textwrap.dedent(method))
    if settings is not None:
        (folder / "settings").mkdir(exist_ok=True)
        (folder / "settings" / path.name).write_text(textwrap.dedent(settings))
    return str(path)
