"""Snakemake as on the command line, but for how often it asks SLURM for the states of jobs: every two seconds.

The executor waits ten seconds longer after each time that nothing has ended, for the sake of a cluster that others use too.
Here that is most of a test's time.
"""

from __future__ import annotations

import runpy

from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

SECONDS = 2

if __name__ == "__main__":
    RemoteExecutor.next_seconds_between_status_checks = property(lambda self: SECONDS, lambda self, seconds: None)
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
