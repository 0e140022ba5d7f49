"""The edit of zeros has no settings."""

from baft.methods.settings import MethodSettings


class Settings(MethodSettings):
    """None."""

    title = "Zero edit"
    family = "reference"
