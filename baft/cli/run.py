"""``baft run``: a study from its config to its HTML report, taking over where an interrupted run left off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from baft.cli.study import DEFAULT_CONFIG, read_study
from baft.cli.warm import warm_parent
from baft.config import Plan, Study
from baft.errors import UserError
from baft.results.locks import HELD, LOCK, break_lock, has_stale_lock, held_name, holding, refuse_if_locked

app = typer.Typer()

# What is left are the jobs' own progress lines, and how many jobs are done.
QUIET = ("--quiet", "rules", "reason", "host")
_LOCK = Path(".snakemake/baft.lock")


@app.command()
def run(
    config: Annotated[
        Path | None,
        typer.Option("--config", "--configfile", help="Config of the study; the embedded one unless given."),
    ] = None,
    cores: Annotated[str, typer.Option(help="CPU cores to use, or 'all'.")] = "all",
) -> None:
    """Run a study in this folder, make its report and print its main table."""
    slots = _number_of(cores)
    study = _checked(config or DEFAULT_CONFIG)
    chosen = ["--configfile", str(config)] if config else []
    results = Path(study.results)
    with sole_run(results):
        _remove_damaged(results)
        with warm_parent(_kept_open), telling(Plan(study), slots):
            snakemake("--cores", cores, "--rerun-incomplete", "--keep-going", *QUIET, *chosen)
        _refuse_outdated(study)
        provenance = results / "provenance.html"
        if not is_current(
            provenance, [results / "tables", results / "figures", Path("workflow/report"), config or DEFAULT_CONFIG]
        ):
            _write_provenance(provenance, chosen)
    from baft.report.summary import summary_text

    print(summary_text(results / "tables"))
    _say_stale(study)
    print(f"How each file was made: {provenance.absolute()}")
    print(f"Report: {(results / 'report.html').absolute()}")


def _number_of(cores: str) -> int:
    """How many cores ``--cores`` allows. Raises UserError if it is neither a number of them nor 'all'."""
    if cores == "all":
        return len(os.sched_getaffinity(0))
    if not (cores.isdecimal() and int(cores)):
        raise UserError(f"--cores is {cores!r}, but must be a number of cores, at least 1, or 'all'.")
    return int(cores)


@contextmanager
def telling(plan: Plan, cores: int, every: float = 20.0) -> Iterator[None]:
    """Within the block, how long the whole run still takes is printed from time to time, whenever that has changed.

    ``every`` are the seconds between two looks at the results, or more where a look takes long.
    """
    slots = cores // plan.study.threads
    ended = threading.Event()

    def tell() -> None:
        last, pause = "", every
        while not ended.wait(pause):
            # Imported late, for a run with nothing to do is over before.
            from baft.report.remaining import remaining_text

            before = time.monotonic()
            text = remaining_text(plan, slots)
            if text != last:
                print(text, flush=True)
            last, pause = text, max(every, 20 * (time.monotonic() - before))

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()


def is_current(product: Path, sources: list[Path]) -> bool:
    """Whether ``product`` is there and newer than every file in ``sources``, folders being searched."""
    files = [file for source in sources for file in ([source] if source.is_file() else source.rglob("*"))]
    return product.is_file() and all(file.stat().st_mtime <= product.stat().st_mtime for file in files)


@contextmanager
def sole_run(results: Path, folder: Path = Path()) -> Iterator[None]:
    """Hold the folder ``results`` and this one, for this process and the Snakemake that it starts.

    Snakemake's lock on this folder is broken if who took it is known to be dead. Raises
    :class:`~baft.errors.UserError` if another process holds one of the folders, or may do so.
    """
    lock = results / LOCK
    with holding(folder / _LOCK) as here, holding(lock) as there:
        if has_stale_lock(folder):
            print("Unlocking the folder, which an interrupted run left locked.", flush=True)
            break_lock(folder)
        refuse_if_locked(folder)
        # They live as long as one of the two processes does: a Snakemake whose `baft run` was killed goes on.
        _kept_open[:] = [here, there]
        os.environ[HELD] = held_name(lock)
        try:
            yield
        finally:
            _kept_open.clear()
            os.environ.pop(HELD, None)


_kept_open: list[int] = []


def snakemake(*arguments: str) -> None:
    """Run Snakemake to its end; an interrupt is left to it, for it cleans up behind its jobs.

    Raises :class:`typer.Exit` with its exit code unless that is 0.
    """
    process = subprocess.Popen([sys.executable, "-m", "snakemake", *arguments], pass_fds=_kept_open)
    # A terminal's Ctrl-C reaches the child by itself; what is sent to this process alone is passed on.
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: process.send_signal(signal.SIGINT))
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if code:
        print(
            "The run is not complete; start it again to go on from here. `baft results show` has what is finished, "
            "`baft results report --partial` makes a report of it.",
            file=sys.stderr,
        )
        raise typer.Exit(code if code > 0 else 128 - code)


def _checked(config: Path) -> Study:
    """The study, its mistakes found before Snakemake starts."""
    if not Path("Snakefile").is_file():
        raise UserError(f"there is no Snakefile in {Path.cwd()}; run this in the folder of the project.")
    return read_study(config)


def _remove_damaged(results: Path) -> None:
    """A damaged file would stop the job that reads it; removed, it is made again."""
    from baft.results.damaged import newly_damaged_files, unfinished_files
    from baft.results.stale import remove

    files = newly_damaged_files(results)
    if files:
        print(f"{len(files)} damaged files are made again, {files[0]} among them.", flush=True)
    remove(results, [*files, *unfinished_files(results)])


def _refuse_outdated(study: Study) -> None:
    """No job looks at cells of which tables and report are already there."""
    from baft.report.outdated import refuse_outdated

    plan = Plan(study)
    refuse_outdated(plan.grids.summaries(), plan.report.page.config)


def _say_stale(study: Study) -> None:
    """A dropped cell's files stay, and whoever reads a whole dataset reads them too."""
    from baft.results.stale import stale_files

    files = stale_files(Path(study.results), Plan(study).outputs.all())
    if files:
        print(
            f"{len(files)} result files belong to no cell of this config; `baft results prune` lists and removes them."
        )


def _write_provenance(page: Path, chosen: list[str]) -> None:
    # Under another name until it is whole: a half-written page would pass for a current one.
    unfinished = page.with_name(".provenance.html")
    snakemake("--report", str(unfinished), *QUIET, *chosen)
    unfinished.replace(page)
