"""The command line: one thin sub-command for each rule of the workflow, and a few for people."""

from baft.cli.main import app, commands

__all__ = ["app", "commands"]
