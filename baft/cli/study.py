"""Reading a study's config on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from baft.config import Plan, Study, check_sources, parse_study
from baft.config.reading import read_config
from baft.errors import UserError

DEFAULT_CONFIG = Path("config/config.yaml")

Config = Annotated[Path, typer.Option("--config", "--configfile", help="Config of the study.")]


def read_study(config: Path) -> Study:
    """The study of a config file, its mistakes and those of its benchmark files found.

    Raises :class:`~baft.errors.UserError` for the first of them.
    """
    from baft.benchmarks.planned import check_files

    study = read_plan(config).study
    check_sources(study)
    check_files(study)
    return study


def read_plan(config: Path) -> Plan:
    """The plan of a config file's study, whether or not the files it reads are there."""
    if not config.is_file():
        raise UserError(f"--config is {str(config)!r}, but must be a file that exists.")
    plan = Plan(parse_study(read_config(config)))
    plan.check()
    return plan
