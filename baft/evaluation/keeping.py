"""Saving the edits of a study: of each record that is wanted, its stream's state right after its own step."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baft.config import Cell
from baft.engine.engine import Engine
from baft.engine.saved import TENSORS, TEXT, save_state
from baft.engine.state import EditState
from baft.evaluation.editing import request_of
from baft.evaluation.protocols import Stream
from baft.methods.about import describe_making, sign
from baft.models.identity import identity_of
from baft.results.kept import Kept, write_index

UNSAVABLE = "there is more to it than changed weights (other modules, hooks or attributes), which cannot be saved"


@dataclass(frozen=True)
class Keeping:
    """The edits of one job that are kept in ``folder``: of the records ``wanted``, or of all of them (True).

    ``identity`` is the unedited model's, ``about`` what each edit says of itself besides it and its requests.
    """

    folder: Path
    wanted: bool | tuple[str, ...]
    identity: str
    about: Mapping[str, Any]

    @staticmethod
    def of(cell: Cell, engine: Engine, model: Path, folder: Path, wanted: bool | tuple[str, ...]) -> Keeping:
        """That of a job of ``cell``, whose model was prepared in the folder ``model``."""
        method = cell.method
        about = describe_making(method.method, method.section, method.settings, cell.seed, cell.model)
        about["study"] = {
            **{"model": cell.model_label, "method": method.label, "protocol": cell.protocol_label},
            **{"benchmark": cell.benchmark, "seed": cell.seed, "folder": str(model.absolute())},
            "options": cell.model.model_dump(mode="json", exclude={"resources"}),
            "covariances": None if cell.covariances is None else cell.covariances.model_dump(mode="json"),
        }
        return Keeping(folder, wanted, identity_of(engine.model.model, engine.text.tokenizer), about)

    def keep(
        self, name: str, stream: Stream, step: int, place: int, state: EditState, failed: Mapping[str, str]
    ) -> dict[str, Kept]:
        """Saves the edits of ``stream`` after ``step``, which are at ``place`` in ``state``, under a ``name`` of their own.

        Gives an entry of the index for each record of the step that is wanted; ``failed`` are edits that failed, by record.
        """
        records = [r.id for r in stream.batches[step] if self.wanted is True or r.id in (self.wanted or ())]
        found = {record: Kept(None, f"it failed ({failed[record]})") for record in records if record in failed}
        made = [record for record in records if record not in failed]
        if not made:
            return found
        own = state.select([place])
        if not own.savable:
            return found | dict.fromkeys(made, Kept(None, UNSAVABLE))
        steps = [[request_of(r) for r in batch if r.id not in failed] for batch in stream.batches[: step + 1]]
        study = {**self.about["study"], "stream": stream.id, "step": step}
        save_state(own, self.folder / name, sign({**self.about, "study": study}, self.identity, steps))
        return found | dict.fromkeys(made, Kept(name))

    def has(self, kept: Mapping[str, Kept]) -> bool:
        """Whether all of these edits are there, as a killed job has left them."""
        edits = {one.edit for one in kept.values() if one.edit is not None}
        return all((self.folder / edit / file).is_file() for edit in edits for file in (TEXT, TENSORS))

    def finish(self, job: str, kept: Mapping[str, Kept]) -> None:
        """Writes the index of all that was kept, and says how large that is."""
        write_index(self.folder, job, kept)
        size = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        edits = {one.edit for one in kept.values() if one.edit is not None}
        lost = sum(one.edit is None for one in kept.values())
        without = f"; {lost} records without one" if lost else ""
        print(f"kept {len(edits)} edits, {size / 1e6:.1f} MB{without}", file=sys.stderr, flush=True)
