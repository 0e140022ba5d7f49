from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from baft.report import sequences, style
from baft.report.cells import read_cells
from baft.report.figures.batched_sequence_length import (
    _blocks,
    _draw,
    _name_lanes,
    plot_batched_sequence_length,
)
from tests.report.test_sequences import SETTINGS, stream, summary


def test_both_moments_of_scoring_are_drawn(tmp_path: Path) -> None:
    streams = stream("a", [1.0, 1.0, 0.5], [0.5, 1.0], [0.0, 0.5, 0.5]), stream("c", [1.0], [], [1.0])
    drawn = plot_batched_sequence_length([summary(tmp_path, "reft", *streams)], tmp_path / "figure", SETTINGS)
    assert [path.suffix for path in drawn] == [".pdf", ".png", ".csv"]
    assert set(pd.read_csv(drawn[2])["scored"]) == {"final", "immediate"}


def test_a_lane_a_method_and_in_it_a_line_a_number_of_edits(tmp_path: Path) -> None:
    streams = [
        stream(name, [1.0, 1.0, 1.0], [value, 1.0], [value, 0.0, 1.0])
        for name, value in zip("abcde", (0.0, 0.5, 1.0, 0.0, 1.0), strict=True)
    ]
    records = [summary(tmp_path / method, method, *streams) for method in ("reft", "baft")]
    frame = sequences.sequence_frame(read_cells(records), SETTINGS)
    (block,) = _blocks(frame)
    assert (block.methods, block.edits) == (["baft", "reft"], [2, 3])
    assert block.line("baft", 2) < block.line("baft", 3) < block.line("reft", 2) < block.line("reft", 3)
    axis = Figure().subplots()
    given = style.marks(["reft", "baft"])
    _draw(axis, block, frame, given)
    _name_lanes(axis, block)
    named = axis.get_yticklabels(minor=True)
    assert [label.get_text() for label in named] == ["2", "3", "2", "3"]
    assert {label.get_fontsize() for label in named} == {5}
    assert all(tick.tick1line.get_markersize() == 0 for tick in axis.yaxis.get_major_ticks())
    points = {line.get_marker(): line.get_xydata() for line in axis.lines}
    ours = [[75.0, block.line("baft", 2)], [50.0, block.line("baft", 3)]]
    assert np.allclose(points[given["baft"].marker], ours)
    # Strokes are what they had right after each edit.
    assert (points["|"][:, 0] == 100).all()
    bars = [segment[:, 0] for bar in axis.collections for segment in bar.get_segments()]
    final = frame[frame["scored"].eq("final")]
    assert np.allclose(sorted(map(tuple, bars)), sorted(zip(100 * final["low"], 100 * final["high"], strict=True)))
    assert (final["low"] < final["high"]).all()


def test_two_streams_have_no_bars(tmp_path: Path) -> None:
    records = [summary(tmp_path, "reft", *(stream(name, [1.0, 1.0], [], [0.0, 1.0]) for name in "ab"))]
    (block,) = _blocks(sequences.sequence_frame(read_cells(records), SETTINGS))
    axis = Figure().subplots()
    _draw(axis, block, block.shown, style.marks(["reft"]))
    assert len(axis.lines) == 3 and not axis.collections
