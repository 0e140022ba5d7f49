"""What stands below every table: which records it is about, and which are not in it."""

from __future__ import annotations

from baft.report.cells import Cells
from baft.report.labels import method_name, ordered_benchmarks


def record_notes(cells: Cells) -> list[str]:
    """In words: the split and how the model was asked; by benchmark the records edited, failed edits, unusable records.

    ``cells`` are of one model and protocol; none give no notes.
    """
    if cells.facts.empty:
        return []
    conditions = cells.facts["conditions"].iloc[0]
    notes = [f"{conditions.split} split; {conditions.prompt_format} prompts; {conditions.dtype}."]
    for benchmark in ordered_benchmarks(cells.facts["benchmark"]):
        rows = cells.facts[cells.facts["benchmark"].eq(benchmark)]
        lowest, most = rows["edited"].min(), rows["edited"].max()
        parts = [f"{most} records" if lowest == most else f"{lowest} to {most} records, depending on the method"]
        failed = rows.groupby("method")["failed"].sum()
        parts += [f"{failed[name]} failed edits of {method_name(str(name))}" for name in failed.index[failed > 0]]
        if (rejected := rows["rejected"].max()) > 0:
            parts.append(f"{rejected} more could not be used")
        notes.append(f"{benchmark}: {'; '.join(parts)}.")
    return notes
