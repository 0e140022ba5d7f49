"""The command line: one thin sub-command for each rule of the workflow, and a few for people."""

from __future__ import annotations

import sys

from baft.cli.warm import handed_over


def app() -> None:
    """Run the command line, or hand a job of a run to the process that has imported all that it needs."""
    status = handed_over(sys.argv[1:])
    if status is not None:
        sys.exit(status)
    from baft.cli.main import app as run

    run()
