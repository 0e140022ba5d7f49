"""The job of the analysis: makes edits of bases on a few records and writes what each does, basis by basis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from baft.analysis.effects import effects_of
from baft.analysis.inputs import Input, general_prompts, inputs_of, pictured
from baft.benchmarks.records import Record
from baft.benchmarks.store import read_benchmark
from baft.config import AnalysisSpec
from baft.engine.deltas import Delta, Seen, Weighing
from baft.engine.engine import Engine
from baft.engine.rows import Batch, Row, collate
from baft.engine.sites import Site
from baft.errors import UserError
from baft.evaluation.editing import edit_step, weight_of, withheld_of
from baft.evaluation.jobs import Progress, check_still, conditions_of_run, load_engine, method_of, provenance_of_run
from baft.methods.base import Context, Method, Outcome, digest
from baft.methods.irrelevant import WHOLE, hidden_states
from baft.methods.settings import Bases
from baft.results.schema import BASES
from baft.results.store import write_rows

Columns = dict[str, Any]


def analyse_subspace(spec: AnalysisSpec, folder: Path, benchmark: Path, out: Path) -> None:
    """Edits the first records of a benchmark with each method, one edit a stream, and writes the bases of each edit.

    The general prompts that edits are looked at with are withheld from all methods. The provenance has as ``failed`` the
    records that a method could not edit, and as ``bases`` what weighs its bases, by method.
    """
    data, engine = read_benchmark(benchmark), load_engine(spec.model, folder)
    records = data.records[: spec.records]
    methods = [method_of(method, engine, folder) for method in spec.methods]
    seen = max(int(method.settings.get("general", 0)) for method in spec.methods)
    unseen = general_prompts(seen)
    analysis = Analysis(engine, {record.id: inputs_of(record, unseen) for record in records})
    context = Context(spec.seed, withheld=withheld_of(data.records) | set(map(digest, unseen)))
    rows: list[Columns] = []
    failed: dict[str, list[str]] = {}
    for method, made in zip(spec.methods, methods, strict=True):
        progress = Progress(f"analyse_subspace {spec.model_label} {method.label} {data.name}", len(records), "edits")
        for group, outcome in _edited(engine, made, records, context):
            for s, (record, report) in enumerate(zip(group, outcome.trainings, strict=True)):
                if report.error is not None:
                    failed.setdefault(method.method, []).append(record.id)
                    continue
                ((site, delta),) = outcome.state.select([s]).deltas.items()
                rows += analysis.rows(method.method, record.id, site, delta)
            progress.advance(len(group))
    settings = {method.method: method.settings for method in spec.methods}
    conditions = conditions_of_run(engine, spec.model, data, None, settings, {"label": "single"}, len(records))
    about = spec.model_dump(mode="json", exclude={"model": {"resources"}})
    check_still(engine, spec.model, folder)
    weighed = {method.method: asdict(_bases(made)) for method, made in zip(spec.methods, methods, strict=True)}
    write_rows(rows, BASES, out, provenance_of_run(engine, conditions, about, failed=failed, bases=weighed))


def _bases(method: Method) -> Bases:
    found: Bases | None = method.settings.bases()
    if found is None:
        raise UserError(f"{method.name} cannot be analysed: its edits are not made of bases.")
    return found


def _edited(
    engine: Engine, method: Method, records: Sequence[Record], context: Context
) -> Iterator[tuple[Sequence[Record], Outcome]]:
    """Groups of records, each edited in a stream of its own, as many side by side as the token budget allows."""
    method.check(engine, context)

    def work(group: Sequence[Record]) -> tuple[Sequence[Record], Outcome]:
        return group, edit_step(engine, method, [[record] for record in group], None, context)[0]

    return engine.budget.run(records, lambda record: weight_of(engine, method, [record], context), work)


@dataclass(frozen=True)
class Place:
    """A position of an input and whether the edit acts there."""

    input: Input
    position: int
    token: int
    edited: bool


class Analysis:
    """The inputs of every record, by its id, put through the unedited model once a site that an edit acts on or reads."""

    def __init__(self, engine: Engine, inputs: dict[str, list[Input]]):
        self.engine, self.inputs = engine, inputs
        self._hidden: dict[Site, dict[str, Tensor]] = {}

    def rows(self, method: str, record: str, site: Site, delta: Delta) -> Iterator[Columns]:
        """Rows of :data:`~baft.results.schema.BASES` of one record's edit, a ``delta`` of a single stream."""
        assert isinstance(delta, Weighing)
        exact = delta.with_tensors({name: tensor.double() for name, tensor in delta.tensors().items()})
        shown = pictured(self.inputs[record])
        places, weights_at = [], []
        for one in self.inputs[record]:
            batch = self._batch(one)
            at = exact.basis_weights(self._seen(one, exact.looks(site)), batch)[0]
            for place in self._places(one, batch, delta):
                if place.edited or one in shown:
                    places.append(place)
                    weights_at.append(at[place.position])
        states = self._states(site)
        hidden = torch.stack([states[place.input.prompt][place.position] for place in places])
        origin = max(i for i, place in enumerate(places) if place.input is shown[0] and place.edited)
        found = effects_of(exact.unweighted(), torch.stack(weights_at).to(hidden.device), hidden, origin)
        moves, weights = found.moves.tolist(), found.weights.tolist()
        names = ("displacement", "size", "distance", "spread", "gap", "tilt")
        scalars = {name: getattr(found, name).tolist() for name in names}
        for n, place in enumerate(places):
            of_position = {
                "method": method,
                "record_id": record,
                "kind": place.input.kind,
                "group": place.input.group,
                "index": place.input.index,
                "prompt": place.input.prompt,
                "position": place.position,
                "token": self._token(place.token),
                "edited": place.edited,
                "slope": found.slope,
                **{name: values[n] for name, values in scalars.items()},
            }
            for k, (move, weight) in enumerate(zip(moves[n], weights[n], strict=True)):
                yield of_position | {"basis": k, "move": move, "weight": weight}

    def _batch(self, one: Input) -> Batch:
        ids = self.engine.text.prompt(one.prompt)
        return collate([Row(0, tuple(ids), len(ids))], self.engine.model.device, self.engine.pad)

    def _seen(self, one: Input, sites: Sequence[Site]) -> dict[Site, Seen]:
        states = {site: self._states(site)[one.prompt].double()[None] for site in sites}
        # A block's output is what both are there.
        return {site: Seen(h, h) for site, h in states.items()}

    def _places(self, one: Input, batch: Batch, delta: Delta) -> list[Place]:
        ids, mask = batch.ids[0].tolist(), delta.where.mask(batch)
        edited = [True] * len(ids) if mask is None else mask[0].tolist()
        return [Place(one, n, token, acts) for n, (token, acts) in enumerate(zip(ids, edited, strict=True))]

    def _states(self, site: Site) -> dict[str, Tensor]:
        if site not in self._hidden:
            prompts = sorted({one.prompt for inputs in self.inputs.values() for one in inputs})
            self._hidden[site] = dict(zip(prompts, hidden_states(self.engine, prompts, site, WHOLE), strict=True))
        return self._hidden[site]

    def _token(self, token: int) -> str:
        return self.engine.text.decode([token]) or str(self.engine.text.tokenizer.convert_ids_to_tokens(token))
