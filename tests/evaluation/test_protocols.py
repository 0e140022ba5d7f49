from __future__ import annotations

import pytest

from baft.benchmarks.records import Record
from baft.config import ProtocolConfig
from baft.evaluation.protocols import moments_of, streams_of

RECORDS = [Record(str(n), "", "p", "t", ()) for n in range(7)]


def ids(protocol: ProtocolConfig) -> list[list[list[str]]]:
    return [[[r.id for r in batch] for batch in stream.batches] for stream in streams_of(protocol, RECORDS)]


@pytest.mark.parametrize(
    ("size", "length", "expected"),
    [
        (1, 1, [[["0"]], [["1"]], [["2"]], [["3"]], [["4"]], [["5"]], [["6"]]]),
        (3, 1, [[["0", "1", "2"]], [["3", "4", "5"]], [["6"]]]),
        (1, 3, [[["0"], ["1"], ["2"]], [["3"], ["4"], ["5"]], [["6"]]]),
        (2, 2, [[["0", "1"], ["2", "3"]], [["4", "5"], ["6"]]]),
        (1, 100, [[["0"], ["1"], ["2"], ["3"], ["4"], ["5"], ["6"]]]),
    ],
)
def test_windows_do_not_overlap_and_the_last_may_be_partial(
    size: int, length: int, expected: list[list[list[str]]]
) -> None:
    assert ids(ProtocolConfig(size=size, length=length)) == expected


def moments(protocol: ProtocolConfig) -> list[list[tuple[str, str]]]:
    stream = streams_of(protocol, RECORDS)[0]
    return [
        [(moment, "".join(r.id for r in records)) for moment, records in moments_of(protocol, stream, step)]
        for step in range(len(stream.batches))
    ]


def test_a_stream_of_one_step_is_scored_once() -> None:
    assert moments(ProtocolConfig()) == [[("final", "0")]]
    assert moments(ProtocolConfig(size=3)) == [[("final", "012")]]


def test_a_longer_stream_is_scored_after_each_step_on_its_way_and_at_its_end() -> None:
    assert moments(ProtocolConfig(size=2, length=3, at=(4,))) == [
        [("immediate", "01")],
        [("immediate", "23"), ("interim", "0123")],
        [("immediate", "45"), ("final", "012345")],
    ]


def test_edits_are_counted_in_records_and_a_record_knows_its_step() -> None:
    stream = streams_of(ProtocolConfig(size=2, length=2), RECORDS)[1]
    assert [stream.edits(step) for step in (0, 1)] == [2, 3]
    assert [stream.step_of(record) for record in RECORDS[4:]] == [0, 0, 1]
