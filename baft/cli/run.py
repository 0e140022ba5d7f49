"""``baft run``: a study from its config to its HTML report, taking over where an interrupted run left off."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from baft.cli.study import DEFAULT_CONFIG, read_study
from baft.config import Plan, Study
from baft.errors import UserError

app = typer.Typer()

# What is left are the jobs' own progress lines, and how many jobs are done.
QUIET = ("--quiet", "rules", "reason", "host")
LOCK = Path(".snakemake/baft.lock")


@app.command()
def run(
    config: Annotated[Path | None, typer.Option(help="Config of the study; the embedded one unless given.")] = None,
    cores: Annotated[str, typer.Option(help="CPU cores to use, or 'all'.")] = "all",
) -> None:
    """Run a study in this folder, make its HTML report and print its main table."""
    study = _checked(config or DEFAULT_CONFIG)
    chosen = ["--configfile", str(config)] if config else []
    if has_stale_lock(Path.cwd()):
        print("Unlocking the folder, which an interrupted run left locked.", flush=True)
        snakemake("--unlock", *QUIET, *chosen)
    with sole_run():
        _remove_damaged(Path(study.results))
        snakemake("--cores", cores, "--rerun-incomplete", "--keep-going", *QUIET, *chosen)
        results = Path(study.results)
        report = results / "report.html"
        if not is_current(
            report, [results / "tables", results / "figures", Path("workflow/report"), config or DEFAULT_CONFIG]
        ):
            _write_report(report, chosen)
    from baft.report.tables import summary_text

    print(summary_text(results / "tables"))
    _say_stale(study)
    print(f"Report: {report.absolute()}")


def is_current(product: Path, sources: list[Path]) -> bool:
    """Whether ``product`` is there and newer than every file in ``sources``, folders being searched."""
    files = [file for source in sources for file in ([source] if source.is_file() else source.rglob("*"))]
    return product.is_file() and all(file.stat().st_mtime <= product.stat().st_mtime for file in files)


@contextmanager
def sole_run(folder: Path = Path()) -> Iterator[None]:
    """Hold a folder for this process; the kernel lets go of it when the process ends, however it ends.

    Raises :class:`~baft.errors.UserError` if another process holds it, or a Snakemake its lock on it.
    """
    lock = folder / LOCK
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                "another run is under way in this folder; wait for it, or stop it before starting again."
            ) from None
        if is_locked(folder):
            raise UserError(
                "Snakemake is at work in this folder; wait for it, or stop it before starting again. If it was killed, "
                "unlock the folder with `snakemake --unlock`."
            )
        yield


def is_locked(folder: Path) -> bool:
    """Whether a Snakemake has locked the folder, be it alive or not."""
    return any((folder / ".snakemake" / "locks").glob("*"))


def has_stale_lock(folder: Path, processes: Path = Path("/proc")) -> bool:
    """Whether Snakemake's lock is on the folder and no Snakemake works in it.

    Where ``processes`` cannot be read no lock is called stale: a needless message is better than two runs at once.
    """
    return (
        is_locked(folder)
        and processes.is_dir()
        and not any(_is_snakemake(process, folder) for process in processes.glob("[0-9]*"))
    )


def snakemake(*arguments: str) -> None:
    """Run Snakemake to its end; an interrupt is left to it, for it cleans up behind its jobs.

    Raises :class:`typer.Exit` with its exit code unless that is 0.
    """
    process = subprocess.Popen([sys.executable, "-m", "snakemake", *arguments])
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


def _say_stale(study: Study) -> None:
    """A dropped cell's files stay, and whoever reads a whole dataset reads them too."""
    from baft.results.stale import stale_files

    files = stale_files(Path(study.results), Plan(study).result_files())
    if files:
        print(
            f"{len(files)} result files belong to no cell of this config; `baft results prune` lists and removes them."
        )


def _write_report(report: Path, chosen: list[str]) -> None:
    # Under another name until it is whole: a half-written report would pass for a current one.
    unfinished = report.with_name(".report.html")
    snakemake("--report", str(unfinished), *QUIET, *chosen)
    unfinished.replace(report)


def _is_snakemake(process: Path, folder: Path) -> bool:
    """Whether a process, given by its folder in /proc, is a Snakemake in ``folder``; one that just ended is not."""
    try:
        command = (process / "cmdline").read_bytes().split(b"\0")
        started_here = (process / "cwd").resolve() == folder.resolve()
    except OSError:
        return False
    return started_here and any(word.rpartition(b"/")[2] == b"snakemake" for word in command[:3])
