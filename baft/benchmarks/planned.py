"""A study's own benchmark files, read before anything runs, so that a wrong one is told at once."""

from __future__ import annotations

from collections.abc import Sequence

from baft.benchmarks.configured import read_here
from baft.benchmarks.records import Benchmark, Record
from baft.config import Study
from baft.errors import UserError


def check_files(study: Study) -> None:
    """Read every benchmark that is a local file as the study will, and look for the records whose edits are kept.

    Raises :class:`~baft.errors.UserError` for the first that cannot be used, naming its key in the config: it is broken, has
    another hash or no known form, or none of its records can be used; or for a record of ``keep_edits`` that no benchmark
    has, or of ``analysis.picture`` that is not analysed; or for one that is tuned on without rephrasings. Records of the hub
    are not known before they are fetched, so with such a benchmark any id passes, and the job that tunes looks for
    rephrasings.
    """
    wanted = () if isinstance(study.keep_edits, bool) else study.keep_edits
    tuned = study.tuned_benchmarks
    analysed = _pictured(study)
    # Embedded ones are known to be right: they are read for their records alone.
    read = {
        label: read_here(study, label)
        for label, one in study.benchmarks.items()
        if wanted or one.source == "file" or label in tuned or label in analysed
    }
    for label in tuned:
        if (own := read[label]) is not None:
            check_rephrasings(label, own.records[: study.tuning.records])
    _check_picture(study, [read[label] for label in analysed])
    here = [benchmark for benchmark in read.values() if benchmark is not None]
    if not wanted or len(here) < len(study.benchmarks):
        return
    ids = [record.id for benchmark in here for record in benchmark.records]
    if unknown := [one for one in wanted if one not in set(ids)]:
        raise UserError(
            f"keep_edits: no record has the id {unknown[0]!r}; there are {len(ids)} in the study, such as {ids[0]!r}."
        )


def _pictured(study: Study) -> tuple[str, ...]:
    """The benchmarks among whose records that of ``analysis.picture`` must be; none where no record is named."""
    analysis = study.analysis
    if analysis.picture is None or not analysis.records:
        return ()
    return analysis.benchmarks or tuple(study.benchmarks)


def _check_picture(study: Study, analysed: Sequence[Benchmark | None]) -> None:
    here = [benchmark for benchmark in analysed if benchmark is not None]
    if not here or len(here) < len(analysed):
        return
    ids = [record.id for benchmark in here for record in benchmark.records[: study.analysis.records]]
    if study.analysis.picture not in ids:
        raise UserError(
            f"analysis.picture is {study.analysis.picture!r}, but none of the {len(ids)} records that are analysed has that "
            f"id; one has {ids[0]!r}."
        )


def check_rephrasings(label: str, records: Sequence[Record]) -> None:
    """Raises UserError if no rephrasings are among the probes of ``records``: nothing is chosen without them."""
    if not any(probe.kind == "generality" for record in records for probe in record.probes):
        raise UserError(
            f"tuning.benchmarks has '{label}', whose records have no rephrasings of their prompts: settings that only fit "
            "the prompt's own words would seem the best, so leave it out."
        )
