"""``python -m baft``."""

from baft.cli import app

app()
