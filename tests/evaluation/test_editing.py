from __future__ import annotations

from dataclasses import replace

from baft.benchmarks.embedded import EMBEDDED, build
from baft.benchmarks.records import Probe, Record
from baft.evaluation.editing import request_of
from baft.methods.base import digest
from baft.methods.irrelevant import IrrelevantSettings, irrelevant_prompts

ALL = IrrelevantSettings(relations=1000, subjects=1000)
RECORD = Record("r", "France", "What do you think of France?", "Lovely.", ())


def test_an_edit_never_trains_on_what_it_is_judged_by() -> None:
    drawn = irrelevant_prompts(request_of(RECORD), ALL, seed=0)
    judged = (drawn[0], drawn[-1].upper() + " ")
    probes = tuple(Probe("locality", "", n, prompt, ("x",)) for n, prompt in enumerate(judged))
    left = irrelevant_prompts(request_of(replace(RECORD, probes=probes)), ALL, seed=0)
    assert left == drawn[1:-1]


def test_a_request_tells_digests_of_probes_and_no_text() -> None:
    probe = Probe("locality", "neighbours", 0, "Berlin is", ("big",), ("small",))
    request = request_of(replace(RECORD, probes=(probe,)))
    assert request.withheld == {digest("Berlin is")}
    assert "Berlin" not in repr(request)


def test_no_embedded_record_has_a_probe_among_its_irrelevant_prompts() -> None:
    for name in EMBEDDED:
        for record in build(name, "tune", None).records:
            mine = {digest(prompt) for prompt in irrelevant_prompts(request_of(record), ALL, seed=0)}
            assert not mine & {digest(probe.prompt) for probe in record.probes}
