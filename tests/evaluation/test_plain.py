"""The engine's metrics agree with a plain implementation, on embedded records and on real ones where they are at hand."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from baft.benchmarks.embedded import EMBEDDED, build
from baft.benchmarks.records import Probe, Record
from baft.config import EvaluationConfig
from baft.engine.deltas import Dense
from baft.engine.engine import Engine
from baft.engine.positions import Everywhere
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.evaluation.metrics import Asked, Columns, measure, measure_unedited
from tests.benchmarks.real import DATA, load_real
from tests.evaluation import styles
from tests.evaluation.plain import Plain

EVALUATION = EvaluationConfig(max_new_tokens=3, fluency_tokens=8)
EXACT = ("token_accuracy", "token_accuracy_first", "agreement", "exact_match", "preferred", "same_string", "decoded")
CLOSE = ("logprob_before", "logprob_after", "contrast_logprob_before", "contrast_logprob_after", "kl", "sentiment")
REAL = {
    "knowedit/wiki_counterfact_train.json": 12,
    "knowedit/wiki_recent_train.json": 8,
    "knowedit/wikibio_train.json": 5,
    "knowedit/convsent_val.json": 5,
    "zsre/zsre_mend_train_1k.json": 10,
    "counterfact/counterfact_rome_format_first300.json": 10,
}
STREAMS = 2


def thinned(record: Record) -> Record:
    """A record with at most two probes of a kind and group, and texts of at most 300 characters."""
    seen: Counter[tuple[str, str]] = Counter()
    kept = []
    for probe in record.probes:
        seen[probe.kind, probe.group] += 1
        if seen[probe.kind, probe.group] <= 2:
            sides = {name: tuple(a[:150] for a in getattr(probe, name)[:3]) for name in ("answers", "contrast")}
            kept.append(replace(probe, prompt=probe.prompt[-300:], **sides))
    return replace(record, probes=tuple(kept))


def embedded() -> list[Record]:
    fluency = Probe("fluency", "", 0, "Marie Curie's most famous work was", ())
    records = [record for name in EMBEDDED for record in build(name).records[:2]]
    return [*map(thinned, records), Record("f", "Marie Curie", "p", "t", (fluency,))]


def real() -> list[Record]:
    if missing := [name for name in REAL if not (DATA / name).is_file()]:
        pytest.skip(f"{DATA / missing[0]} is not there: BAFT_TEST_DATA names the folder of real benchmark files")
    found = []
    for name, count in REAL.items():
        records = load_real(DATA / name, limit=count).records
        found += [replace(thinned(record), id=f"{name} {record.id}") for record in records]
    assert len(found) == 50
    return found


def both(style: str, records: Sequence[Record]) -> list[tuple[Probe, Columns, Columns]]:
    """Of every probe the engine's row and the plain one; streams take turns, each with weights of its own."""
    texts = [text for r in records for p in r.probes for text in (p.prompt, *p.answers, *p.contrast)]
    engine: Engine = styles.engine(style, styles.tokenizer(style, texts))
    site = Site(1, engine.model.architecture.mlp_down)
    wide, tall = engine.model.widths(site)
    changes = 0.2 * torch.randn(STREAMS, tall, wide, generator=torch.Generator().manual_seed(5))
    asked = [Asked(n % STREAMS, record, probe) for n, record in enumerate(records) for probe in record.probes]
    before = {a.key: m for a, m in zip(asked, measure_unedited(engine, asked, EVALUATION), strict=True)}
    rows = measure(engine, EditState(len(changes), {site: Dense(Everywhere(), changes)}), asked, EVALUATION, before)
    pre = copy.deepcopy(engine.model.model).double()
    plain = []
    for change in changes:
        post = copy.deepcopy(pre)
        weight = post.get_submodule(engine.model.architecture.blocks)[1].get_submodule(site.module).weight
        weight.data += change.T if style == "gpt2" else change
        plain.append(Plain(pre, post, engine.text.tokenizer, EVALUATION.max_new_tokens, EVALUATION.fluency_tokens))
    return [(a.probe, row, plain[a.stream].row(a.record, a.probe)) for a, row in zip(asked, rows, strict=True)]


def agree(found: Sequence[tuple[Probe, Columns, Columns]]) -> None:
    for probe, row, expected in found:
        assert "error" not in row, row
        for name in EXACT:
            if name in expected:
                assert row[name] == pytest.approx(expected[name], abs=1e-6), (name, probe)
        for name in CLOSE:
            if expected.get(name) is not None:
                assert row[name] == pytest.approx(expected[name], abs=1e-4), (name, probe)
        if probe.kind == "fluency":
            assert row["fluency"] == pytest.approx(expected["fluency"], abs=1e-6), (row["decoded"], probe)


def tells_apart(found: Sequence[tuple[Probe, Columns, Columns]]) -> None:
    """The comparison is worth something: scores of all sizes are among what was compared."""
    assert len({row["agreement"] for _, row, _ in found if "agreement" in row}) > 2
    assert max(row["kl"] for _, row, _ in found if row.get("kl") is not None) > 0.1
    assert not all(row["same_string"] for _, row, _ in found)
    assert {row.get("preferred") for _, row, _ in found} >= {True, False}


@pytest.mark.parametrize("style", styles.STYLES)
def test_embedded_records(style: str) -> None:
    found = both(style, embedded())
    agree(found)
    tells_apart(found)
    assert {probe.kind for probe, _, _ in found} >= {"reliability", "locality", "sentiment", "fluency"}


@pytest.mark.parametrize("style", styles.STYLES)
def test_real_records(style: str) -> None:
    found = both(style, real())
    agree(found)
    tells_apart(found)
