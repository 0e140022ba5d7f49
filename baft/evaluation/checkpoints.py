"""What a job has done so far, on disk: a killed job goes on from the last step of a group of streams that was scored.

It outlives the job's end. Where Snakemake was killed, a job may finish without it; Snakemake then removes the job's files as
incomplete and runs it again, which takes no work as long as this is there.

A group of streams has its rows in parts, one for the steps that were scored together, the state after its last step, and a
marker that is written last; what the marker does not name does not count. A state that cannot be saved is not: its group
begins again.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from baft.engine.frozen import FrozenModel
from baft.engine.saved import load_state, save_state
from baft.engine.state import EditState
from baft.evaluation.metrics import Columns
from baft.files import replacing
from baft.results.kept import Kept
from baft.results.schema import EDITS, PROBES
from baft.results.store import is_whole, read_table, write_rows

_PARTS: Mapping[str, pa.Schema] = {"probes": PROBES, "edits": EDITS}


@dataclass(frozen=True)
class Reached:
    """Steps done by a group, its state after them (None before the first and after the last), edits that failed so far.

    ``kept`` are the entries of the index of kept edits, by record; ``seconds`` is what the steps took, in all attempts.
    ``parts`` are the steps after which rows were kept.
    """

    step: int = 0
    state: EditState | None = None
    failed: Mapping[str, str] | None = None
    kept: Mapping[str, Kept] = field(default_factory=dict)
    seconds: float = 0.0
    parts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Checkpoints:
    """Of one job, under ``folder``. ``digest`` is of all that its rows depend on: what another job left is not used.

    ``model`` is the one that is edited.
    """

    folder: Path
    digest: str
    model: FrozenModel

    def reached(self, group: str, streams: Sequence[str]) -> Reached:
        """How far ``group`` is; nowhere if it is unknown, of other streams, damaged, or of a job told something else."""
        reached = self._kept(self.folder / group, streams)
        if reached is None:
            shutil.rmtree(self.folder / group, ignore_errors=True)
        return reached or Reached()

    def _kept(self, folder: Path, streams: Sequence[str]) -> Reached | None:
        try:
            marker = json.loads((folder / "done.json").read_text(encoding="utf-8"))
            if marker["digest"] != self.digest or marker["streams"] != list(streams):
                return None
            if not marker["saved"]:
                print(f"{folder.name}: begins again, for its edits wrap modules, which are not saved", file=sys.stderr)
                return None
            steps = marker["step"]
            state = load_state(folder / f"state-{steps}", self.model)[0] if marker["state"] else None
            kept = {record: Kept(**entry) for record, entry in marker["kept"].items()}
            seconds = float(marker["seconds"])
            numbers = tuple(marker["parts"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        parts = [folder / f"{kind}-{number}.parquet" for kind in _PARTS for number in numbers]
        return Reached(steps, state, marker["failed"], kept, seconds, numbers) if all(map(is_whole, parts)) else None

    def keep(
        self,
        group: str,
        streams: Sequence[str],
        reached: Reached,
        probes: Sequence[Columns],
        edits: Sequence[Columns],
    ) -> None:
        """Keeps the rows of the steps that have led to ``reached``, the last of whose parts they are."""
        folder, number = self.folder / group, reached.step
        for kind, rows in (("probes", probes), ("edits", edits)):
            write_rows(rows, _PARTS[kind], folder / f"{kind}-{number}.parquet", {})
        savable = reached.state is None or reached.state.savable
        if reached.state is not None and savable:
            save_state(reached.state, folder / f"state-{number}", {})
        marker = {
            "digest": self.digest,
            "streams": list(streams),
            "step": number,
            "state": reached.state is not None,
            "saved": savable,
            "failed": dict(reached.failed or {}),
            "kept": {record: asdict(one) for record, one in reached.kept.items()},
            "seconds": reached.seconds,
            "parts": list(reached.parts),
        }
        with replacing(folder / "done.json") as file:
            file.write(json.dumps(marker).encode())
        for earlier in reached.parts[-2:-1]:
            shutil.rmtree(folder / f"state-{earlier}", ignore_errors=True)

    def tables(self, kind: str, groups: Sequence[str]) -> Iterator[pa.Table]:
        """The rows of finished ``groups``, in the order of their steps; ``kind`` is ``probes`` or ``edits``."""
        for group in groups:
            for number in self._marker(group)["parts"]:
                yield read_table([self.folder / group / f"{kind}-{number}.parquet"])

    def kept(self, groups: Sequence[str]) -> dict[str, Kept]:
        """The entries of the index of kept edits of finished ``groups``, by record."""
        found: dict[str, Kept] = {}
        for group in groups:
            found |= {record: Kept(**entry) for record, entry in self._marker(group)["kept"].items()}
        return found

    def seconds(self, groups: Sequence[str]) -> float:
        """What the steps of finished ``groups`` took, in all attempts."""
        return sum(float(self._marker(group)["seconds"]) for group in groups)

    def _marker(self, group: str) -> dict[str, Any]:
        marker: dict[str, Any] = json.loads((self.folder / group / "done.json").read_text(encoding="utf-8"))
        return marker

    def clear(self) -> None:
        """Forgets everything."""
        shutil.rmtree(self.folder, ignore_errors=True)
