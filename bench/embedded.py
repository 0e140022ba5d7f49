"""The engine around the embedded model that benchmarks run."""

from __future__ import annotations

import tempfile
from pathlib import Path

from baft.config import ModelConfig
from baft.engine.engine import Engine
from baft.evaluation.jobs import load_engine
from baft.models.prepare import prepare_model


def embedded_engine(config: ModelConfig, folder: Path | None = None) -> Engine:
    """As ``config`` says, from the ``folder`` of the prepared model, which is prepared anew unless given."""
    if folder is not None:
        return load_engine(config, folder)
    with tempfile.TemporaryDirectory() as place:
        prepare_model(config, Path(place))
        return load_engine(config, Path(place))
