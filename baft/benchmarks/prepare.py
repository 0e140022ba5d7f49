"""A benchmark as the config names it, turned into its parquet file, with a report of what could not be used."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from baft.benchmarks.configured import built, loaded
from baft.benchmarks.hub import download
from baft.benchmarks.records import Benchmark
from baft.benchmarks.store import refuse_other, write_benchmark
from baft.config import BenchmarkConfig
from baft.errors import UserError
from baft.files import replacing

# Records that cannot be used, and notes on the file, that the terminal shows.
_SAID = 5


def prepare_benchmark(config: BenchmarkConfig, name: str, out: Path) -> None:
    """Build, read or download the benchmark that ``config`` describes, call it ``name`` and write it to ``out``.

    Beside it goes :func:`report_path`: a row a record that cannot be used, and a row a remark on one that is.
    Raises :class:`~baft.errors.UserError` if it cannot be had, read or written, or if ``out`` is a file of another kind.
    """
    _refuse_source(config, out)
    refuse_other(out)
    benchmark = _SOURCES[config.source](config, name)
    # Neither without the other, should the disk be full.
    with replacing(report_path(out)) as report:
        report.write(load_report(benchmark).encode())
        report.flush()
        write_benchmark(benchmark, out)
    print(
        f"{name}: format {benchmark.format}, revision {benchmark.revision}, split {benchmark.split}; "
        f"{len(benchmark.records)} records, {len(benchmark.rejected)} that cannot be used"
    )
    for rejected in benchmark.rejected[:_SAID]:
        place = f" (line {rejected.line})" if rejected.line else ""
        print(f"{name}: record {rejected.id}{place} cannot be used: {rejected.reason}")
    for note in benchmark.notes[:_SAID]:
        print(f"{name}: {note}")
    if benchmark.rejected or benchmark.remarks or benchmark.notes:
        print(f"{name}: all of that, and {len(benchmark.remarks)} remarks, in {report_path(out)}")


def _refuse_source(config: BenchmarkConfig, out: Path) -> None:
    """Raises UserError if the file of facts is one of those that are written."""
    if config.source != "file" or config.path is None:
        return
    source = Path(config.path)
    for written in (out, report_path(out)):
        if written.exists() and source.exists() and written.samefile(source):
            raise UserError(f"{written} is the file that is read, and would be overwritten; give --out another name.")


def report_path(out: Path) -> Path:
    """The load report of the benchmark ``out``."""
    return out.with_suffix(".loading.csv")


def load_report(benchmark: Benchmark) -> str:
    """As CSV, what is to be known about the records, columns ``id``, ``line``, ``used`` and ``note``.

    A note about the whole file has an empty ``id``. There is only the heading if there is nothing to know.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["id", "line", "used", "note"])
    rows.writerows(["", "", "", note] for note in benchmark.notes)
    rows.writerows([item.id, item.line or "", "no", item.reason] for item in benchmark.rejected)
    rows.writerows([item.id, item.line or "", "yes", item.text] for item in benchmark.remarks)
    return text.getvalue()


def _from_file(config: BenchmarkConfig, name: str) -> Benchmark:
    return loaded(Path(config.path or ""), config, name)


def _from_hub(config: BenchmarkConfig, name: str) -> Benchmark:
    # The config holds a revision that is no commit to a file's hash, so that either pins what is read.
    assert config.hub_id is not None and config.filename is not None
    return loaded(download(config.hub_id, config.filename, config.revision), config, name)


_SOURCES = {"embedded": built, "file": _from_file, "hub": _from_hub}
