"""The unedited model has no settings."""

from baft.methods.settings import MethodSettings


class Settings(MethodSettings):
    """None."""

    title = "Unedited"
    family = "reference"
